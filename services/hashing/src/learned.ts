/** A version of a function in memory, ready to encode and search. The next version takes over its index. */
import { type DatasetSpec, decodePayload, decodeSpec, type Row } from '@lethe/datasets';
import {
  behaviourDigest,
  createFeatureMap,
  encodeFeatures,
  encodeLedgerEntry,
  type FeatureMap,
  functionFingerprint,
  type HashFunction,
  SEGMENT_ROWS,
} from '@lethe/hashing';
import type { CodeIndex, Hit, IndexEntry, SearchFilter } from '@lethe/index';
import { leafHash } from '@lethe/merkle';
import { hex, sha256 } from '@lethe/std';
import { type Head, referencesOf, sumsDigestOf, weightsDigestOf } from './domain/head.ts';
import { PartReader } from './domain/parts.ts';
import { HASHING_SERVICE } from './errors.ts';
import type { PieceStore, Reference } from './sealed-state.ts';

export type LiveItem = Extract<IndexEntry, { kind: 'live' }>;

export interface FoundItem extends Hit {
  readonly item: LiveItem;
}

/** Who works on an index: versions share one, so its holders are counted by index and not by version. */
interface Use {
  holders: number;
  /** Called once the index is closed; undefined while it serves. */
  closed: (() => void) | undefined;
}

const uses = new WeakMap<CodeIndex, Use>();

function useOf(index: CodeIndex): Use {
  const use = uses.get(index) ?? { holders: 0, closed: undefined };
  uses.set(index, use);
  return use;
}

export class Learned {
  readonly head: Head;
  readonly index: CodeIndex;
  readonly store: PieceStore;
  /** Where the head itself lies. */
  readonly reference: Reference;
  readonly spec: DatasetSpec;
  readonly readers: readonly PartReader[];
  readonly maps: readonly FeatureMap[];
  readonly weightsDigest: string;
  readonly sumsDigest: string;
  /** Positions of items that answer nothing: in quarantine, or retired. */
  readonly quarantined: ReadonlySet<number>;
  #fingerprint: string | undefined;
  #behaviour: string | undefined;
  readonly #use: Use;

  constructor(head: Head, index: CodeIndex, store: PieceStore, reference: Reference) {
    this.head = head;
    this.index = index;
    this.#use = useOf(index);
    this.store = store;
    this.reference = reference;
    this.spec = decodeSpec(head.datasetSpec);
    this.readers = head.parts.map((part) => new PartReader(this.spec, part));
    this.maps = head.parts.map(({ fn }) => createFeatureMap(fn.features));
    this.weightsDigest = weightsDigestOf(head.parts);
    this.sumsDigest = sumsDigestOf(head.parts);
    this.quarantined = new Set(head.quarantine.map(({ position }) => position));
  }

  get version(): number {
    return this.head.version;
  }

  get codeBits(): number {
    return this.index.codeBits;
  }

  /** Names of the modalities, by number. */
  get modalities(): readonly string[] {
    return this.head.parts.map(({ name }) => name);
  }

  /** Labels of the items, ascending. */
  get classes(): number[] {
    return this.head.live.labels.map(({ label }) => label);
  }

  /** Everything that this version has stored. */
  get references(): Reference[] {
    return [this.reference, ...(this.store.isInMemory ? [] : referencesOf(this.head))];
  }

  /** SHA-256 over the codes of fixed inputs, hex; of several parts over theirs in order. */
  get fingerprint(): string {
    this.#fingerprint ??= fingerprintOf(
      this.head.parts.map(({ fn }, i) => functionFingerprint(fn, this.maps[i]!)),
    );
    return this.#fingerprint;
  }

  /** SHA-256 over the codes of fixed inputs alone, hex. */
  get behaviourDigest(): string {
    this.#behaviour ??= behaviourOf(
      this.head.parts.map(({ fn }) => fn),
      this.maps,
    );
    return this.#behaviour;
  }

  /** Fingerprint and behaviour of the version before, while it answers beside this one. */
  get previousDigests(): { readonly fingerprint: string; readonly behaviourDigest: string } | undefined {
    const functions = this.head.previous?.functions;
    return (
      functions && {
        fingerprint: fingerprintOf(functions.map((fn, i) => functionFingerprint(fn, this.maps[i]!))),
        behaviourDigest: behaviourOf(functions, this.maps),
      }
    );
  }

  /** True if a live item of the part whose code is of this version stands at one of the positions. */
  holdsVersion(part: number, first: number, last: number, version: (of: number) => boolean): boolean {
    const segments = this.index.segments();
    for (let position = first; position <= last; position++) {
      const segment = segments[Math.floor(position / SEGMENT_ROWS)]!;
      const row = position % SEGMENT_ROWS;
      const { modalities, fnVersions } = segment.columns;
      if (modalities[row] === part && version(fnVersions[row]!) && !segment.isErased(row)) return true;
    }
    return false;
  }

  /** Keeps the index open over several breaths, until the returned function is called. */
  hold(): () => void {
    this.#use.holders++;
    return () => {
      this.#use.holders--;
      this.#closeIfDone();
    };
  }

  /** Overwrites the index in memory, at once or when the last holder has let go: another one serves. @param closed called then */
  retire(closed: () => void): void {
    this.#use.closed = closed;
    this.#closeIfDone();
  }

  #closeIfDone(): void {
    const { closed, holders } = this.#use;
    if (!closed || holders > 0) return;
    this.#use.closed = undefined;
    this.index.close();
    closed();
  }

  /** @throws LETHE-23xx the payload is not one of this dataset */
  decode(payload: Uint8Array): Row {
    return decodePayload(this.spec, payload);
  }

  /**
   * Number of the modality by which a row is encoded: the named one, or the only one that the row has.
   * @throws LETHE-4207 no such modality, the row lacks it, or it has several and none is named
   */
  modalityOf(row: Row, name: string): number {
    const invalid = (why: string) => HASHING_SERVICE.REQUEST_INVALID(why, { details: { field: 'modality' } });
    if (name !== '') {
      const number = this.modalities.indexOf(name);
      if (number === -1) throw invalid('the function has no such modality');
      if (!this.readers[number]!.has(row)) throw invalid('the record lacks a field of this modality');
      return number;
    }
    const [only, ...more] = this.readers
      .keys()
      .filter((number) => this.readers[number]!.has(row))
      .toArray();
    if (only === undefined) throw invalid('the record has no modality of this function');
    if (more.length > 0) throw invalid('the record has several modalities: name one');
    return only;
  }

  /** @returns codes of the rows by one modality, K / 8 bytes each, one after the other */
  encode(modality: number, rows: readonly Row[]): Uint8Array {
    return encodeFeatures(this.head.parts[modality]!.fn, this.features(modality, rows));
  }

  /** @returns features of the rows by one modality, [n, D] */
  features(modality: number, rows: readonly Row[]): Uint8Array {
    return this.maps[modality]!.apply(this.readers[modality]!.inputs(rows));
  }

  /**
   * The k nearest items of persons who are not excluded, without those in quarantine, of those within the radius if one is given.
   * @throws LETHE-3406
   */
  search(code: Uint8Array, k: number, filter: SearchFilter, radius?: number): FoundItem[] {
    const asked = { ...filter, excludedItems: this.quarantined };
    const hits = this.index.search(code, k, asked, radius);
    return hits.map((hit) => ({ ...hit, item: this.liveAt(hit.index) }));
  }

  liveAt(index: number): LiveItem {
    const entry = this.index.entryAt(index);
    if (entry.kind === 'live') return entry;
    throw HASHING_SERVICE.STATE_DAMAGED('the index found an entry that is erased', { details: { index } });
  }

  /** RFC 6962 leaf hash of an item in the ledger. */
  leafHashOf(item: LiveItem): Uint8Array {
    return leafHash(encodeLedgerEntry(item));
  }
}

/** Of a function of one part its `behaviourDigest`, of several a digest over theirs in order; hex. */
export function behaviourOf(functions: readonly HashFunction[], maps: readonly FeatureMap[]): string {
  const digests = functions.map((fn, i) =>
    behaviourDigest(
      (inputs) => encodeFeatures(fn, maps[i]!.apply(inputs)),
      fn.features.inputWidth,
      fn.codebook.codeBits,
    ),
  );
  const [only, ...more] = digests;
  return hex(only && more.length === 0 ? only : sha256('lethe/hashing/behaviour-of-parts/v1', ...digests));
}

function fingerprintOf(prints: readonly Uint8Array[]): string {
  const [only, ...more] = prints;
  return hex(only && more.length === 0 ? only : sha256('lethe/hashing/fingerprint-of-parts/v1', ...prints));
}
