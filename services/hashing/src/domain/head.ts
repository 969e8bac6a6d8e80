/**
 * The head of a function's state: everything but the codes and the features, which it names. Its one form at rest:
 *
 * Little-endian sections, each a u32 length and so many bytes:
 *
 *     1        canonical JSON: format, version, learned root, its last position, index manifest, counts of live items, and of each
 *              part its name, fields, feature blocks and sample; pieces of near-duplicates and the items in quarantine, if there are any
 *     2        the dataset's specification as the vault gave it
 *     3, 4, …  of each part, in their order: the function (`encodeHashFunction`), the sums (`encodeStatistics`)
 *     then     while two versions answer: of each part the function of the version before
 *
 * All of it is sealed at rest; equal heads have equal bytes.
 */
import {
  decodeHashFunction,
  decodeStatistics,
  encodeHashFunction,
  encodeStatistics,
  type HashFunction,
  type HeadStatistics,
  statisticsDigest,
  weightsDigest,
} from '@lethe/hashing';
import type { IndexManifest } from '@lethe/index';
import { canonicalJson, hex, sha256, utf8 } from '@lethe/std';
import { HASHING_SERVICE } from '../errors.ts';
import type { PartSpec } from './parts.ts';

/** A sealed feature block. */
export interface BlockRef {
  /** Where the store has it. */
  readonly reference: string;
  /** SHA-256 of the opened bytes, hex. */
  readonly digest: string;
  readonly rows: number;
  /** Least and greatest position; 0 of an empty block. */
  readonly first: number;
  readonly last: number;
}

/** A sealed piece of other rows than features. */
export type PieceRef = Pick<BlockRef, 'reference' | 'digest' | 'rows'>;

/** A random sample of a part's items: those whose item id begins with a number below 2^(32 - halvings). */
export interface Sample {
  readonly halvings: number;
  /** Undefined while no item is in it. */
  readonly block: BlockRef | undefined;
}

/** One modality: features and weights of its own, on the codebook of all. */
export interface Part extends PartSpec {
  readonly fn: HashFunction;
  readonly statistics: HeadStatistics;
  /** In the order of their positions; all but the last were full once. */
  readonly blocks: readonly BlockRef[];
  readonly sample: Sample;
}

export interface Head {
  readonly version: number;
  /** Name of the root learned up to, and its last position in the record log. */
  readonly root: string;
  readonly lastPosition: number;
  /** Canonical JSON of the dataset specification. */
  readonly datasetSpec: Uint8Array;
  /** By modality number. */
  readonly parts: readonly Part[];
  readonly index: IndexManifest;
  readonly live: LiveCounts;
  /** The version before, while it answers for codes that are not moved to this one yet. */
  readonly previous?: Previous | undefined;
  /** Records that the near-duplicate filter has left out (`duplicates.ts`); all pieces but the last were full once. */
  readonly duplicates: readonly PieceRef[];
  /** By ascending position. */
  readonly quarantine: readonly Quarantined[];
}

/** An item that is left out of answers. */
export interface Quarantined {
  /** In the ledger. */
  readonly position: number;
  readonly reason: 'margin' | 'hub';
  /** True if it is never to answer again. */
  readonly retired: boolean;
}

/** Distances between unrelated pairs, of queries of each part: counts at 0..K. */
export type NullCounts = readonly (readonly number[])[];

export interface Previous {
  readonly version: number;
  /** By modality number. */
  readonly functions: readonly HashFunction[];
  /** By modality number of the query; of the version before, and of the newest. */
  readonly nulls: NullCounts;
  readonly newestNulls: NullCounts;
}

/** What is in the index, counted as it changes. */
export interface LiveCounts {
  /** Codes by version and part, both ascending; none is 0. */
  readonly codes: readonly { readonly version: number; readonly part: number; readonly codes: number }[];
  /** Items by class, classes ascending; none is 0. An item of several classes counts for each. */
  readonly labels: readonly { readonly label: number; readonly items: number }[];
}

interface Counted {
  readonly fnVersion: number;
  readonly modality: number;
  readonly labels: readonly number[];
}

/** Counts with items added or taken out. @param sign 1 or -1 */
export function countItems(live: LiveCounts, items: Iterable<Counted>, sign: 1 | -1): LiveCounts {
  const codes = new Map(live.codes.map((entry) => [`${entry.version}/${entry.part}`, { ...entry }]));
  const labels = new Map(live.labels.map((entry) => [entry.label, { ...entry }]));
  for (const { fnVersion, modality, labels: own } of items) {
    const key = `${fnVersion}/${modality}`;
    const entry = codes.get(key) ?? { version: fnVersion, part: modality, codes: 0 };
    codes.set(key, { ...entry, codes: entry.codes + sign });
    for (const label of own) labels.set(label, { label, items: (labels.get(label)?.items ?? 0) + sign });
  }
  return {
    codes: [...codes.values()]
      .filter(({ codes: left }) => left > 0)
      .sort((a, b) => a.version - b.version || a.part - b.part),
    labels: [...labels.values()].filter(({ items: left }) => left > 0).sort((a, b) => a.label - b.label),
  };
}

const FORMAT = 'lethe-hash-state-v2';

/** Format of the bytes of a state, whatever else they are. */
export function formatOf(bytes: Uint8Array): string {
  try {
    const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true);
    return (JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length))) as { format: string }).format;
  } catch (cause) {
    throw HASHING_SERVICE.STATE_DAMAGED('the state of a function: it has no header', { cause });
  }
}

export function encodeHead(head: Head): Uint8Array {
  const { version, root, lastPosition, datasetSpec, parts, index, live, previous } = head;
  const { duplicates, quarantine } = head;
  const header = {
    format: FORMAT,
    version,
    root,
    lastPosition,
    index,
    live,
    parts: parts.map(({ name, fields, blocks, sample: { halvings, block } }) => ({
      name,
      fields,
      blocks,
      sample: { halvings, blocks: block ? [block] : [] },
    })),
    ...(previous && {
      previous: { version: previous.version, nulls: previous.nulls, newestNulls: previous.newestNulls },
    }),
    ...(duplicates.length > 0 && { duplicates }),
    ...(quarantine.length > 0 && { quarantine }),
  };
  return sections([
    utf8(canonicalJson(header)),
    datasetSpec,
    ...parts.flatMap(({ fn, statistics }) => [encodeHashFunction(fn), encodeStatistics(statistics)]),
    ...(previous?.functions.map(encodeHashFunction) ?? []),
  ]);
}

function sections(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + 4 + part.length, 0));
  const view = new DataView(out.buffer);
  let at = 0;
  for (const part of parts) {
    view.setUint32(at, part.length, true);
    out.set(part, at + 4);
    at += 4 + part.length;
  }
  return out;
}

const damaged = (why: string) => HASHING_SERVICE.STATE_DAMAGED(`the state of a function: ${why}`);

/** Sections of a state, as copies. @throws LETHE-4209 */
export function readSections(bytes: Uint8Array): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const parts: Uint8Array[] = [];
  let at = 0;
  while (at + 4 <= bytes.length) {
    const end = at + 4 + view.getUint32(at, true);
    if (end > bytes.length) throw damaged('it is cut short');
    parts.push(new Uint8Array(bytes.subarray(at + 4, end)));
    at = end;
  }
  if (at !== bytes.length) throw damaged('it does not end with a section');
  return parts;
}

interface Header {
  readonly format: string;
  readonly version: number;
  readonly root: string;
  readonly lastPosition: number;
  readonly index: IndexManifest;
  readonly live: LiveCounts;
  readonly parts: readonly (PartSpec & {
    readonly blocks: readonly BlockRef[];
    readonly sample: { readonly halvings: number; readonly blocks: readonly BlockRef[] };
  })[];
  readonly previous?: Omit<Previous, 'functions'>;
  readonly duplicates?: readonly PieceRef[];
  readonly quarantine?: readonly Quarantined[];
}

/** Strict inverse of `encodeHead`. @throws LETHE-4209 @throws LETHE-3405 */
export function decodeHead(bytes: Uint8Array): Head {
  const format = formatOf(bytes);
  if (format !== FORMAT) throw damaged('it has another format');
  const [first, datasetSpec, ...rest] = readSections(bytes);
  const header = JSON.parse(new TextDecoder().decode(first)) as Header;
  const count = header.parts.length;
  if (!datasetSpec || rest.length !== (header.previous ? 3 : 2) * count) throw damaged('it lacks a section');
  const previous = header.previous && {
    ...header.previous,
    functions: rest.slice(2 * count).map(decodeHashFunction),
  };
  return {
    ...(previous && { previous }),
    version: header.version,
    root: header.root,
    lastPosition: header.lastPosition,
    datasetSpec,
    index: header.index,
    live: header.live,
    duplicates: header.duplicates ?? [],
    quarantine: header.quarantine ?? [],
    parts: header.parts.map(({ name, fields, blocks, sample }, i) => ({
      name,
      fields,
      blocks,
      sample: { halvings: sample.halvings, block: sample.blocks[0] },
      fn: decodeHashFunction(rest[2 * i]!),
      statistics: decodeStatistics(rest[2 * i + 1]!),
    })),
  };
}

/** References of everything that a head names. */
export const referencesOf = ({ index, parts, duplicates }: Head): string[] => [
  ...[...index.segments, ...duplicates].map(({ reference }) => reference),
  ...parts.flatMap(({ blocks, sample }) =>
    [...blocks, ...(sample.block ? [sample.block] : [])].map(({ reference }) => reference),
  ),
];

/** Digest of one part alone, or of all of them with their names. */
function overParts(parts: readonly Part[], label: string, digest: (part: Part) => Uint8Array): string {
  const [only, ...more] = parts;
  if (only && more.length === 0) return hex(digest(only));
  return hex(sha256(label, ...parts.flatMap((part) => [sha256(part.name), digest(part)])));
}

/** SHA-256 of the weights, hex: of a function with one part its `weightsDigest`. */
export const weightsDigestOf = (parts: readonly Part[]): string =>
  overParts(parts, 'lethe/hashing/weights-of-parts/v1', ({ fn }) => weightsDigest(fn));

/** SHA-256 of the sums, hex. */
export const sumsDigestOf = (parts: readonly Part[]): string =>
  overParts(parts, 'lethe/hashing/sums-of-parts/v1', ({ statistics }) => statisticsDigest(statistics));
