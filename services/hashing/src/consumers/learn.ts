import { EVENT, hashing } from '@lethe/contracts';
import { decodePayload, decodeSpec } from '@lethe/datasets';
import { effectId, newEvent } from '@lethe/events';
import { createFeatureMap, ITEM_ID_BYTES, verifyUpdateProof } from '@lethe/hashing';
import { CodeIndex } from '@lethe/index';
import { datasetOfRoot, exclusions, isFinal, loggedRoot, readRecords } from '@lethe/service';
import { assert } from '@lethe/std';
import type { HashingContext } from '../context.ts';
import { BLOCK_ROWS, decodeBlock } from '../domain/blocks.ts';
import { type BlockRef, type Part, type Previous, weightsDigestOf } from '../domain/head.ts';
import { labelsOfRow, partSpecs } from '../domain/parts.ts';
import { HASHING_SERVICE } from '../errors.ts';
import { previousOf } from '../fan-out.ts';
import type { Address, Existing, Prepared } from '../functions.ts';
import { firstVersion, gateOptions, isHeld, judge } from '../gate.ts';
import {
  type Base,
  type EmptyHead,
  type Example,
  emptyHead,
  growSample,
  type LearnedRecords,
  learnExamples,
  packBlocks,
} from '../learn.ts';
import { behaviourOf, Learned } from '../learned.ts';
import { measurePromotion } from '../metrics.ts';
import { duplicateFilter, storeDuplicates } from '../near-duplicates.ts';
import { lowMargins } from '../quarantine.ts';
import { type Attempt, PieceStore } from '../sealed-state.ts';
import { storeBlock } from './erasure.ts';
import { reencodingLeft } from './reencode.ts';

const { MODE_UNSPECIFIED, MODE_FAN_OUT } = hashing.PromoteHashVersionRequest_Mode;

/** Ends an attempt whose candidate the gate holds: no failure, and nothing of it was stored. */
class HeldCandidate extends Error {
  readonly held: hashing.HeldVersion;

  constructor(held: hashing.HeldVersion) {
    super('the gate holds the candidate');
    this.held = held;
  }
}

/**
 * Learns the root that an event asks for, unless its result is there. Runs again after a crash, from the beginning: nothing of
 * an attempt counts before its fact is committed.
 */
export async function onRootRequested(
  context: HashingContext,
  address: Address,
  eventId: string,
): Promise<void> {
  const { functions, progress, logger } = context;
  await functions.inTurn(address, async () => {
    try {
      for (;;) {
        const before = await functions.load(address);
        if (before.pending?.eventId !== eventId) return;
        if (await learn(context, address, before, before.pending.root)) return;
        // Another process promoted a version meanwhile, for example an erasure: what it took out must not come back.
      }
    } catch (error) {
      if (error instanceof HeldCandidate) {
        const { held } = error;
        await functions.aggregates.propose(address.tenant, address.id, (now) =>
          now.pending?.eventId === eventId
            ? [
                newEvent(
                  EVENT.hashVersionHeld,
                  { function: address.name, held },
                  effectId(eventId, EVENT.hashVersionHeld.type),
                ),
              ]
            : [],
        );
        return;
      }
      if (!isFinal(error)) throw error;
      logger.warn('a root could not be learned', { function: address.name, error });
      const { code, message } = error;
      await functions.aggregates.propose(address.tenant, address.id, (now) =>
        now.pending?.eventId === eventId
          ? [
              newEvent(
                EVENT.hashFunctionFailed,
                { function: address.name, code, message },
                effectId(eventId, EVENT.hashFunctionFailed.type),
              ),
            ]
          : [],
      );
    } finally {
      progress.delete(address.name);
    }
  });
}

/** @returns false if the function was changed by another process in between */
async function learn(
  context: HashingContext,
  address: Address,
  before: Existing,
  root: string,
): Promise<boolean> {
  const { functions, peers, progress } = context;
  progress.set(address.name, { done: 0n, total: 0n, phase: 'reading records' });
  const { ROOT_NOT_LOGGED } = HASHING_SERVICE;
  const { lastPosition } = await loggedRoot(peers, root, context.rootWaitMs, ROOT_NOT_LOGGED);
  const upTo = { root, lastPosition: Number(lastPosition) };
  const eventId = effectId(before.pending!.eventId, EVENT.hashFunctionPromoted.type);
  let from: Learned | undefined;
  const next = await functions.change(address, before, eventId, async (attempt, base) => {
    from = base;
    return prepare(
      context,
      address,
      before,
      upTo,
      attempt,
      base ?? (await nothing(context, address, before)),
    );
  });
  if (next) await measurePromotion(context, address, from, next);
  return next !== undefined;
}

async function nothing(
  { functions, peers, random }: HashingContext,
  { tenant }: Address,
  { spec }: Existing,
): Promise<Base> {
  const { spec: datasetSpec } = await peers.vault.getDataset({ name: datasetOfRoot(spec.root) });
  const head = emptyHead(datasetSpec, partSpecs(spec.modalities), {
    seed: spec.featureSeed,
    featureDim: spec.featureDim,
    codeBits: spec.codeBits,
    lambda: spec.lambda,
  });
  const classes = decodeSpec(datasetSpec).label.classes.length;
  const store = new PieceStore(functions.state, tenant);
  const { table } = functions.engine;
  return { head, index: CodeIndex.create({ store, random, table, codeBits: spec.codeBits, classes }), store };
}

/** Stores the next version: new blocks and segments, and those that were not full. */
async function prepare(
  context: HashingContext,
  address: Address,
  before: Existing,
  upTo: { readonly root: string; readonly lastPosition: number },
  attempt: Attempt,
  base: Base,
): Promise<Prepared> {
  const { random, progress } = context;
  const { head, index, store } = base;
  store.attempt = attempt;
  const examples = await readExamples(context, address.tenant, upTo.root, head);
  const total = BigInt(examples.length);
  const learned = await learnExamples(
    head,
    index.size,
    upTo,
    examples,
    random,
    (done) => {
      progress.set(address.name, { done: BigInt(done), total, phase: 'learning records' });
    },
    before.spec.nearDuplicates && duplicateFilter(base, before.spec.nearDuplicates),
  );
  watchNew(context, address, head, learned, index.size);
  const added = learned.batch.fnVersions.length;
  if (head.version === 0 && added === 0) {
    throw HASHING_SERVICE.NOTHING_TO_LEARN('there is no labelled record under the root', {
      details: { root: upTo.root },
    });
  }
  progress.set(address.name, { done: total, total, phase: 'comparing with stored codes' });
  const { gate, previous } = await passGate(context, address, before, base, upTo.root, learned.head);
  progress.set(address.name, { done: total, total, phase: 'storing codes' });
  const replaced: string[] = [];
  const idOf = (position: number): Uint8Array => {
    if (position < index.size) return index.entryAt(position).itemId;
    const at = (position - index.size) * ITEM_ID_BYTES;
    return learned.batch.ids.subarray(at, at + ITEM_ID_BYTES);
  };
  const parts: Part[] = [];
  for (const [number, part] of learned.head.parts.entries())
    parts.push(await storeRows(attempt, store, part, learned.added[number]!, idOf, replaced));
  const duplicates = await storeDuplicates(attempt, store, head.duplicates, learned.duplicates, replaced);
  const held = await lowMargins(base, learned, before.spec.quarantine?.marginShare ?? 0);
  const rootBefore = head.version === 0 ? new Uint8Array(0) : index.root();
  const change = added > 0 ? await index.append(learned.batch) : undefined;
  attempt.open = change;
  assert(!change || verifyUpdateProof(change.proof), 'an update appends');
  return {
    head: {
      ...learned.head,
      parts,
      index: change?.manifest ?? index.manifest(),
      ...(previous && { previous }),
      duplicates,
      quarantine: [...head.quarantine, ...held],
    },
    index,
    store,
    replaced: [...replaced, ...(change?.superseded.map(({ reference }) => reference) ?? [])],
    promotion: {
      erasure: '',
      needles: undefined,
      proof: undefined,
      claims: [],
      statisticsMs: learned.statisticsMs,
      solveMs: learned.solveMs,
      // The proof has just shown that the tree of the new root begins with the tree of the old one.
      oldCodesRootBefore: rootBefore,
      oldCodesRootAfter: rootBefore,
      gate,
      reencoding: previous && reencodingOf(learned.head, previous),
    },
  };
}

/**
 * The gate's report, and what an operator's decision asks for.
 * @throws HeldCandidate the candidate must not serve, and nobody has decided that it shall
 */
async function passGate(
  { masks }: HashingContext,
  { tenant }: Address,
  { spec, pending }: Existing,
  base: Base,
  root: string,
  candidate: EmptyHead,
): Promise<{ readonly gate: hashing.GateReport; readonly previous: Previous | undefined }> {
  const options = gateOptions(spec.gate);
  if (!(base instanceof Learned))
    return { gate: firstVersion(candidate.version, options), previous: undefined };
  const functions = candidate.parts.map(({ fn }) => fn);
  const excluded = masks.of(tenant);
  const gate = await judge(base, functions, excluded, options);
  const mode = pending?.promotion ?? MODE_UNSPECIFIED;
  if (mode === MODE_UNSPECIFIED && isHeld(gate, options)) {
    throw new HeldCandidate({
      version: candidate.version,
      root,
      weightsDigest: weightsDigestOf(candidate.parts),
      behaviourDigest: behaviourOf(
        functions,
        functions.map(({ features }) => createFeatureMap(features)),
      ),
      report: gate,
    });
  }
  const fansOut = mode === MODE_FAN_OUT && base.index.live > 0;
  return { gate, previous: fansOut ? await previousOf(base, functions, excluded) : undefined };
}

const reencodingOf = ({ version, live }: EmptyHead, previous: Previous): hashing.Reencoding | undefined =>
  reencodingLeft({ fromVersion: previous.version, toVersion: version, step: 0, codesLeft: 0n }, live);

/** The watch for drift sees new items as the version sees them that has not learned them. @param size of the ledger before them */
function watchNew(
  { drift }: HashingContext,
  address: Address,
  { version, parts }: EmptyHead,
  { added }: LearnedRecords,
  size: number,
): void {
  if (version === 0) return;
  for (const [part, { name: modality, fn }] of parts.entries())
    drift.observeNew(address, { version, part, modality, fn }, added[part]!.block.features, size);
}

/** Stores new feature rows of a part, filling up its last block first, and its sample where it changes. */
async function storeRows(
  attempt: Attempt,
  store: PieceStore,
  part: Part,
  added: LearnedRecords['added'][number],
  idOf: (position: number) => Uint8Array,
  replaced: string[],
): Promise<Part> {
  if (added.block.positions.length === 0) return part;
  const opened = async ({ reference, digest }: BlockRef) =>
    decodeBlock(await store.verified(reference, digest));
  const last = part.blocks.at(-1);
  const open = last && last.rows < BLOCK_ROWS ? last : undefined;
  if (open) replaced.push(open.reference);
  const blocks = open ? part.blocks.slice(0, -1) : [...part.blocks];
  for (const block of packBlocks(open && (await opened(open)), added.block)) {
    const ref = await storeBlock(attempt, block);
    if (ref) blocks.push(ref);
  }
  if (added.sampled.length === 0) return { ...part, blocks };
  const { sample } = part;
  if (sample.block) replaced.push(sample.block.reference);
  const before = { halvings: sample.halvings, block: sample.block && (await opened(sample.block)) };
  const grown = growSample(before, added, idOf);
  const block = await storeBlock(attempt, grown.block);
  return { ...part, blocks, sample: { halvings: grown.halvings, block } };
}

/**
 * Labelled records that the function has not learned: those after its last position, without canaries and without persons whose
 * erasure was requested. A record without a label teaches nothing and is not indexed.
 */
async function readExamples(
  { peers, masks, follower }: HashingContext,
  tenant: string,
  root: string,
  base: { readonly lastPosition: number; readonly datasetSpec: Uint8Array },
): Promise<Example[]> {
  const spec = decodeSpec(base.datasetSpec);
  const exclude = await exclusions(peers, root);
  const records = await readRecords(peers, root, { afterPosition: base.lastPosition, exclude });
  // Read after the records: a person whose containment came in between is left out as well, whichever replica has contained it.
  await follower.fresh();
  const masked = masks.of(tenant);
  return records
    .filter(({ alias }) => !masked.has(alias))
    .map(({ alias, payload, position }) => ({ alias, row: decodePayload(spec, payload), position }))
    .filter(({ row }) => labelsOfRow(row).length > 0);
}
