/**
 * The record log: one JetStream message per record, sealed under its subject's key, on its subject's own NATS subject. The
 * message is the fact of the ingestion; what this class holds in memory is an index over the messages' headers, rebuilt from
 * the stream, and nothing in it needs a key.
 */
import {
  type Appended,
  type Bus,
  datasetRecords,
  recordSubject,
  STREAMS,
  type StoredMessage,
} from '@lethe/events';
import { SortedTree } from '@lethe/merkle';
import { fromHex, hex } from '@lethe/std';

const HEADER = { recordKey: 'lethe-record', leaf: 'lethe-leaf' } as const;

export interface IndexedRecord {
  /** Sequence in the record stream. */
  readonly position: number;
  readonly alias: string;
  /** Keyed digest of the record id, hex. */
  readonly recordKey: string;
  /** Blinded leaf, hex. Equal leaves mean the same subject, record id and payload. */
  readonly leaf: string;
}

export interface SealedRecord {
  readonly alias: string;
  readonly recordKey: Uint8Array;
  readonly leaf: Uint8Array;
  readonly sealed: Uint8Array;
}

interface DatasetIndex {
  readTo: number;
  readonly byKey: Map<string, IndexedRecord>;
  /** Number of records by alias. */
  readonly counts: Map<string, number>;
  /** Alias by position of messages whose record id was taken before them: no records, but bytes of somebody. */
  readonly shadowed: Map<number, string>;
}

export class RecordLog {
  readonly #bus: Bus;
  readonly #indexes = new Map<string, DatasetIndex>();

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  /** Present records by record key, after reading what has been added. */
  async index(tenant: string, dataset: string): Promise<ReadonlyMap<string, IndexedRecord>> {
    return (await this.#refresh(tenant, dataset)).byKey;
  }

  async countOf(tenant: string, dataset: string, alias: string): Promise<number> {
    return (await this.#refresh(tenant, dataset)).counts.get(alias) ?? 0;
  }

  /** Positions of messages that never became records, by what a crash left between two streams that used one record id. */
  async shadowed(tenant: string, dataset: string, aliases: ReadonlySet<string>): Promise<number[]> {
    const { shadowed } = await this.#refresh(tenant, dataset);
    return [...shadowed].filter(([, alias]) => aliases.has(alias)).map(([position]) => position);
  }

  async #refresh(tenant: string, dataset: string): Promise<DatasetIndex> {
    const name = `${tenant}/${dataset}`;
    let index = this.#indexes.get(name);
    if (!index) {
      index = { readTo: 0, byKey: new Map(), counts: new Map(), shadowed: new Map() };
      this.#indexes.set(name, index);
    }
    for await (const message of this.#bus.read(STREAMS.records, datasetRecords(tenant, dataset), {
      fromSequence: index.readTo + 1,
    })) {
      const record = indexed(message);
      const first = record && index.byKey.get(record.recordKey);
      if (record && !first) {
        index.byKey.set(record.recordKey, record);
        index.counts.set(record.alias, (index.counts.get(record.alias) ?? 0) + 1);
      } else if (record && first && first.position !== record.position) {
        index.shadowed.set(record.position, record.alias);
      }
      index.readTo = Math.max(index.readTo, message.sequence);
    }
    return index;
  }

  /** Appends in order; at a refusal (a full stream) what was stored before it stays. @returns one answer per record */
  async append(
    tenant: string,
    dataset: string,
    records: readonly SealedRecord[],
  ): Promise<readonly Appended[]> {
    return await this.#bus.appendMany(
      STREAMS.records,
      records.map((record) => ({
        subject: recordSubject(tenant, dataset, record.alias),
        message: {
          // With the leaf: the broker may drop a repetition, never another person's record under the same id.
          id: `${tenant}:${hex(record.recordKey)}:${hex(record.leaf)}`,
          headers: { [HEADER.recordKey]: hex(record.recordKey), [HEADER.leaf]: hex(record.leaf) },
          data: record.sealed,
        },
      })),
    );
  }

  /** Messages of a dataset in order of ingestion, with what their headers say. */
  async *read(
    tenant: string,
    dataset: string,
    range: { readonly after: number; readonly to: number },
  ): AsyncGenerator<{ readonly record: IndexedRecord; readonly sealed: Uint8Array }> {
    if (range.after >= range.to) return;
    for await (const message of this.#bus.read(STREAMS.records, datasetRecords(tenant, dataset), {
      fromSequence: range.after + 1,
      toSequence: range.to,
    })) {
      const record = indexed(message);
      if (record) yield { record, sealed: message.data };
    }
  }

  /** Overwrites messages in place. Idempotent. */
  async erase(positions: readonly number[]): Promise<void> {
    for (const position of positions) await this.#bus.deleteMessageSecurely(STREAMS.records, position);
    const gone = new Set(positions);
    for (const index of this.#indexes.values()) {
      for (const position of gone) index.shadowed.delete(position);
      for (const [key, { position, alias }] of index.byKey) {
        if (!gone.has(position)) continue;
        index.byKey.delete(key);
        index.counts.set(alias, (index.counts.get(alias) ?? 1) - 1);
      }
    }
  }
}

function indexed(message: StoredMessage): IndexedRecord | undefined {
  const alias = message.subject.split('.').at(-1);
  const recordKey = message.headers[HEADER.recordKey];
  const leaf = message.headers[HEADER.leaf];
  return alias && recordKey && leaf ? { position: message.sequence, alias, recordKey, leaf } : undefined;
}

/** Merkle tree over the leaves of present records. */
export function treeOf(records: Iterable<IndexedRecord>): SortedTree {
  return new SortedTree([...records].map((record) => fromHex(record.leaf)));
}

export function lastPosition(records: Iterable<IndexedRecord>): number {
  let last = 0;
  for (const { position } of records) last = Math.max(last, position);
  return last;
}
