/** From the state of earlier releases (one artefact) to the present one: served from memory, stored by the next change. */

import { decodeSpec } from '@lethe/datasets';
import { ITEM_ID_BYTES } from '@lethe/hashing';
import { CodeIndex, type EntryBatch, type SegmentStore } from '@lethe/index';
import { assert, hex, type RandomSource, sha256 } from '@lethe/std';
import {
  BLOCK_ROWS,
  encodeBlock,
  type FeatureBlock,
  joinBytes,
  labelBits,
  labelBytesOf,
  sliceBlock,
  takeRows,
} from './domain/blocks.ts';
import { type BlockRef, countItems, type Head, type Part } from './domain/head.ts';
import { partSpecs } from './domain/parts.ts';
import { isSampled } from './domain/sample.ts';
import { decodeStateV1, type EntryV1, type ItemV1, type StateV1 } from './domain/state-v1.ts';
import { Learned } from './learned.ts';
import { type Attempt, PieceStore, type Reference, type SealedState } from './sealed-state.ts';

const isLive = (entry: EntryV1): entry is ItemV1 => entry.kind === 'live';

/** @throws LETHE-4209 @throws LETHE-3405 */
export async function openV1(
  sealed: SealedState,
  tenant: string,
  bytes: Uint8Array,
  reference: Reference,
): Promise<Learned> {
  const state = decodeStateV1(bytes);
  const pieces = new Map<string, Uint8Array>();
  let next = 0;
  const put = (piece: Uint8Array): string => {
    // A number of its own: one that a deletion gave free would name two pieces.
    const name = `memory:${next++}`;
    pieces.set(name, piece.slice());
    return name;
  };
  const index = await indexOf(state, {
    put: async (piece) => put(piece),
    get: async (name) => pieces.get(name)!.slice(),
    delete: async (name) => void pieces.delete(name),
  });
  const head = headOf(state, index, (block) => refOf(block, put));
  return new Learned(head, index, new PieceStore(sealed, tenant, pieces), reference);
}

/** The very ledger: every leaf with its id, code, version and salt, erased ones with the number of their erasure. */
async function indexOf({ fn, entries, datasetSpec }: StateV1, store: SegmentStore): Promise<CodeIndex> {
  const { codeBits } = fn.codebook;
  const classes = decodeSpec(datasetSpec).label.classes.length;
  const random = replaying(
    joinBytes(entries.map((entry) => (isLive(entry) ? entry.salt : new Uint8Array(32)))),
  );
  const index = CodeIndex.create({ store, random, codeBits, classes });
  const append = await index.append(batchOf(entries, codeBits, classes));
  await append.commit();
  const erased = Map.groupBy(
    entries.flatMap((entry) => (entry.kind === 'erased' ? [entry] : [])),
    ({ seq }) => seq,
  );
  for (const [seq, gone] of erased) {
    const erasure = await index.erase(
      gone.map(({ itemId }) => itemId),
      seq,
    );
    await erasure.commit();
  }
  return index;
}

/** An erased entry comes as an item of nobody first. */
function batchOf(entries: readonly EntryV1[], codeBits: number, classes: number): EntryBatch {
  const labelBytes = labelBytesOf(classes);
  const NOBODY = 'erased';
  const aliases = [...new Set(entries.map((entry) => (isLive(entry) ? entry.alias : NOBODY)))];
  const numbers = new Map(aliases.map((alias, number) => [alias, number]));
  return {
    ids: joinBytes(entries.map(({ itemId }) => itemId)),
    codes: joinBytes(entries.map((entry) => (isLive(entry) ? entry.code : new Uint8Array(codeBits / 8)))),
    fnVersions: Uint32Array.from(entries, (entry) => (isLive(entry) ? entry.fnVersion : 1)),
    modalities: new Uint8Array(entries.length),
    labels: joinBytes(entries.map((entry) => labelBits(isLive(entry) ? [entry.label] : [], labelBytes))),
    owners: Uint32Array.from(entries, (entry) => numbers.get(isLive(entry) ? entry.alias : NOBODY)!),
    aliases,
  };
}

/** Salts come from the state and not from chance: the roots have been published. */
function replaying(salts: Uint8Array): RandomSource {
  let at = 0;
  const only = (): never => assert(false, 'an index draws salts only') as never;
  return {
    bytes: (count) => {
      at += count;
      return salts.slice(at - count, at);
    },
    kind: 'secure',
    u32: only,
    uniform: only,
    below: only,
  };
}

function headOf(state: StateV1, index: CodeIndex, keep: (block: FeatureBlock) => BlockRef): Head {
  const { fn, statistics, root, lastPosition, datasetSpec, entries } = state;
  const [spec] = partSpecs();
  assert(spec, 'there is one part');
  const labelBytes = labelBytesOf(index.classes);
  const live = entries.flatMap((entry, position) => (isLive(entry) ? [{ entry, position }] : []));
  const all: FeatureBlock = {
    positions: Uint32Array.from(live, ({ position }) => position),
    featureDim: fn.features.featureDim,
    labelBytes,
    labels: joinBytes(live.map(({ entry }) => labelBits([entry.label], labelBytes))),
    features: joinBytes(live.map(({ entry }) => entry.features)),
  };
  const blocks: BlockRef[] = [];
  for (let at = 0; at < live.length; at += BLOCK_ROWS)
    blocks.push(keep(sliceBlock(all, at, Math.min(at + BLOCK_ROWS, live.length))));
  let halvings = 0;
  let rows = [...live.keys()];
  const ids = joinBytes(live.map(({ entry }) => entry.itemId));
  assert(ids.length === live.length * ITEM_ID_BYTES, 'every item has an id');
  while (rows.length > BLOCK_ROWS) {
    halvings++;
    rows = rows.filter((row) => isSampled(ids, row, halvings));
  }
  const part: Part = {
    ...spec,
    fn,
    statistics,
    blocks,
    sample: { halvings, block: rows.length > 0 ? keep(takeRows(all, rows)) : undefined },
  };
  const counted = live.map(({ entry }) => ({
    fnVersion: entry.fnVersion,
    modality: 0,
    labels: [entry.label],
  }));
  return {
    version: fn.version,
    root,
    lastPosition,
    datasetSpec,
    parts: [part],
    index: index.manifest(),
    live: countItems({ codes: [], labels: [] }, counted, 1),
    duplicates: [],
    quarantine: [],
  };
}

function refOf(block: FeatureBlock, put: (bytes: Uint8Array) => Reference): BlockRef {
  const bytes = encodeBlock(block);
  return blockRef(block, put(bytes), hex(sha256(bytes)));
}

export const blockRef = ({ positions }: FeatureBlock, reference: Reference, digest: string): BlockRef => ({
  reference,
  digest,
  rows: positions.length,
  first: positions[0] ?? 0,
  last: positions.at(-1) ?? 0,
});

/** Stores what a state of an earlier format holds, as pieces of a change that starts from it. */
export async function storeV1(
  sealed: SealedState,
  tenant: string,
  base: Learned,
  attempt: Attempt,
  random: RandomSource,
): Promise<Learned> {
  const { head } = base;
  const moved = async (what: string, reference: Reference): Promise<Reference> =>
    (await attempt.put(what, [await base.store.get(reference)]))[0]!.reference;
  const segments = [];
  for (const segment of head.index.segments)
    segments.push({ ...segment, reference: await moved('segment', segment.reference) });
  const parts: Part[] = [];
  for (const part of head.parts) {
    const blocks: BlockRef[] = [];
    for (const block of part.blocks)
      blocks.push({ ...block, reference: await moved('block', block.reference) });
    const sample = part.sample.block;
    const block = sample && { ...sample, reference: await moved('block', sample.reference) };
    parts.push({ ...part, blocks, sample: { ...part.sample, block } });
  }
  const index = { ...head.index, segments };
  const store = new PieceStore(sealed, tenant);
  const opened = await CodeIndex.open(index, { store, random });
  return new Learned({ ...head, parts, index }, opened, store, base.reference);
}
