import { parseName, type vault } from '@lethe/contracts';
import { type DatasetSpec, decodePayload } from '@lethe/datasets';
import type { Appended } from '@lethe/events';
import type { Partially } from '@lethe/rpc';
import { AssertionError, hex, LetheError } from '@lethe/std';
import { aliasOf, leafOf, recordKeyOf } from '../aliases.ts';
import type { VaultContext } from '../context.ts';
import { VAULT } from '../errors.ts';
import type { SealedRecord } from '../record-log.ts';
import { sealRecord } from '../sealing.ts';

/** 256 KiB: a quarter of the broker's message limit, which leaves room for the seal and the headers. */
const PAYLOAD_BYTES_MAX = 256 * 1024;
const SUBJECT_ID_CHARS_MAX = 256;
const RECORD_ID_CHARS_MAX = 128;
/** One transaction of the key store and one window of appends. */
const CHUNK_RECORDS = 512;
const CHUNK_BYTES = 4 * 1024 * 1024;

interface Tally {
  stored: number;
  duplicates: number;
  suppressed: number;
}

/**
 * Stores the stream's records in order. At the first record that cannot be stored it stops; the error's details say how many
 * were stored and at which sequence it stopped, so that the client can go on from there.
 */
export async function ingest(
  context: VaultContext,
  requests: AsyncIterable<vault.IngestRequest>,
): Promise<Partially<vault.IngestResponse>> {
  const tally: Tally = { stored: 0, duplicates: 0, suppressed: 0 };
  let batch: Batch | undefined;
  let sequence = 0;
  try {
    for await (const { message } of requests) {
      if (message?.$case === 'header') {
        if (batch) throw VAULT.STREAM_OUT_OF_ORDER('the header comes once, before the records');
        batch = await openBatch(context, message.value.dataset, tally);
      } else if (message?.$case === 'record') {
        if (!batch)
          throw VAULT.STREAM_OUT_OF_ORDER('the first message must be the header that names the dataset');
        if (message.value.sequence !== BigInt(sequence + 1)) {
          throw VAULT.STREAM_OUT_OF_ORDER(`record ${sequence + 1} is due, not ${message.value.sequence}`);
        }
        check(message.value, batch.spec);
        sequence++;
        batch.pending.push(message.value);
        batch.bytes += message.value.payload.length;
        if (batch.pending.length >= CHUNK_RECORDS || batch.bytes >= CHUNK_BYTES) await flush(context, batch);
      } else {
        throw VAULT.STREAM_OUT_OF_ORDER('a message must be a header or a record');
      }
    }
    if (batch) await flush(context, batch);
  } catch (error) {
    // What came before the offending record is stored, whatever is wrong with that record.
    if (batch && error instanceof LetheError) {
      await flush(context, batch).catch((second: unknown) => {
        if (second instanceof AssertionError) throw second;
      });
    }
    throw withTally(error, tally, sequence + 1);
  }
  if (tally.suppressed > 0 && tally.stored === 0 && tally.duplicates === 0) {
    throw withTally(
      VAULT.SUBJECT_ERASED(`${tally.suppressed} records belong to erased subjects`),
      tally,
      sequence,
    );
  }
  return {
    stored: BigInt(tally.stored),
    duplicates: BigInt(tally.duplicates),
    suppressed: BigInt(tally.suppressed),
  };
}

interface Batch {
  readonly tenant: string;
  readonly dataset: string;
  readonly spec: DatasetSpec;
  readonly tenantKey: Uint8Array;
  readonly tally: Tally;
  pending: vault.IngestRecord[];
  bytes: number;
}

async function openBatch(context: VaultContext, name: string, tally: Tally): Promise<Batch> {
  const [tenant, dataset] = parseName('dataset', name);
  const spec = await context.datasets.spec(tenant, dataset!);
  return {
    tenant,
    dataset: dataset!,
    spec,
    tenantKey: context.keys.tenant(tenant),
    tally,
    pending: [],
    bytes: 0,
  };
}

function check(record: vault.IngestRecord, spec: DatasetSpec): void {
  const { subjectId, recordId, payload } = record;
  const problem =
    subjectId.length === 0 || subjectId.length > SUBJECT_ID_CHARS_MAX
      ? 'subject_id'
      : recordId.length === 0 || recordId.length > RECORD_ID_CHARS_MAX
        ? 'record_id'
        : undefined;
  if (problem)
    throw VAULT.RECORD_MALFORMED(`${problem} is empty or too long`, { details: { field: problem } });
  if (payload.length > PAYLOAD_BYTES_MAX) {
    throw VAULT.RECORD_TOO_LARGE(`the payload has ${payload.length} bytes`, {
      details: { bytes: payload.length },
    });
  }
  decodePayload(spec, payload);
}

/** Stores the pending records. Whether or not it succeeds, the tally says what is stored and nothing stays pending. */
async function flush(context: VaultContext, batch: Batch): Promise<void> {
  const storing = store(context, batch);
  context.ingesting.add(storing);
  try {
    await storing;
  } finally {
    context.ingesting.delete(storing);
  }
}

async function store(context: VaultContext, batch: Batch): Promise<void> {
  const { tenant, dataset, tenantKey, tally } = batch;
  const records = batch.pending;
  batch.pending = [];
  batch.bytes = 0;
  const aliases = records.map((record) => aliasOf(tenantKey, record.subjectId));
  const wanted = new Set(aliases.filter((alias) => !context.suppression.has(tenant, alias)));
  const keys = context.keys.subjects(tenant, [...wanted]);
  const known = await context.records.index(tenant, dataset);
  const fresh = new Map<string, SealedRecord>();
  let conflict: LetheError | undefined;
  for (const [i, record] of records.entries()) {
    const alias = aliases[i]!;
    const key = keys.get(alias);
    if (!key) {
      tally.suppressed++;
      continue;
    }
    const recordKey = recordKeyOf(tenantKey, dataset, record.recordId);
    const id = hex(recordKey);
    const leaf = leafOf(key, dataset, record.recordId, record.payload);
    const there = known.get(id)?.leaf ?? (fresh.has(id) ? hex(fresh.get(id)!.leaf) : undefined);
    if (there === hex(leaf)) {
      tally.duplicates++;
    } else if (there !== undefined) {
      conflict = VAULT.RECORD_CONFLICT('a record id is taken by other content', {
        details: { sequence: Number(record.sequence) },
      });
      break;
    } else {
      fresh.set(id, {
        alias,
        recordKey,
        leaf,
        sealed: sealRecord(key, tenant, dataset, alias, record, context.random),
      });
    }
  }
  const batchRecords = [...fresh.values()];
  let appended: readonly Appended[] = [];
  try {
    appended = await context.records.append(tenant, dataset, batchRecords);
  } finally {
    const present = await context.records.index(tenant, dataset);
    const lost: number[] = [];
    for (const [i, { recordKey, leaf }] of batchRecords.entries()) {
      const there = present.get(hex(recordKey));
      if (!there) continue;
      if (there.leaf !== hex(leaf)) {
        // Another stream stored other content under this record id at the same moment, and was first.
        if (appended[i]) lost.push(appended[i].sequence);
      } else if (appended[i]?.duplicate) {
        tally.duplicates++;
      } else {
        tally.stored++;
      }
    }
    if (lost.length > 0) {
      await context.records.erase(lost);
      conflict ??= VAULT.RECORD_CONFLICT('record ids are taken by other content', {
        details: { records: lost.length },
      });
    }
  }
  if (conflict) throw conflict;
}

function withTally(error: unknown, tally: Tally, sequence: number): unknown {
  if (!(error instanceof LetheError)) return error;
  const { code, status, remedy, reason, cause } = error;
  const details = { sequence, ...error.details, ...tally };
  const message = error.message.replace(/^\[LETHE-\d+\] /, '');
  return new LetheError(reason, { code, status, remedy }, message, { details, cause });
}
