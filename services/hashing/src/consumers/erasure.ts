import { EVENT, type events, hashing, parseName } from '@lethe/contracts';
import { effectId } from '@lethe/events';
import { SEGMENT_ROWS } from '@lethe/hashing';
import { type Containment, type ErasurePart, isFinal } from '@lethe/service';
import { assert, concatBytes, hex, sha256, sleep, utf8 } from '@lethe/std';
import type { HashingContext } from '../context.ts';
import { encodeBlock, type FeatureBlock } from '../domain/blocks.ts';
import {
  claims,
  decodeNeedles,
  encodeErasureProof,
  encodeNeedles,
  encodeReencodeProof,
  indexName,
  needlesOf,
  proofDetails,
  type VersionDigests,
  withinEvent,
} from '../domain/evidence.ts';
import { movingCodes } from '../domain/hash-function.ts';
import {
  type BlockRef,
  countItems,
  type LiveCounts,
  type Part,
  sumsDigestOf,
  weightsDigestOf,
} from '../domain/head.ts';
import { churnDetails, type ErasedItems, measureChurn, newCodes, subtract } from '../erase.ts';
import { HASHING_SERVICE } from '../errors.ts';
import type { Address, Existing, HashFunctions, Prepared } from '../functions.ts';
import type { Learned, LiveItem } from '../learned.ts';
import { countInMemory } from '../memory-scan.ts';
import { blockRef } from '../migrate.ts';
import { withoutDuplicatesOf } from '../near-duplicates.ts';
import { type Attempt, sideBySide } from '../sealed-state.ts';
import { reencodingLeft } from './reencode.ts';

type Outcome = Awaited<ReturnType<ErasurePart['erase']>>;

const { SURVIVOR_CODES_REENCODE_CHANGED, SURVIVOR_CODES_RETIRE } = hashing.HashFunctionSpec_SurvivorCodes;

/** Policy of a function for survivors, as claims name it. */
type Policy = 'KEEP' | 'REENCODE_CHANGED' | 'RETIRE';

function policyOf({ spec: { survivorCodes } }: Existing): Policy {
  if (survivorCodes === SURVIVOR_CODES_REENCODE_CHANGED) return 'REENCODE_CHANGED';
  return survivorCodes === SURVIVOR_CODES_RETIRE ? 'RETIRE' : 'KEEP';
}

/**
 * Masks the person first; names every function and index that learns from a dataset which holds the person. Returns when every
 * replica that answers anything has read of it: one whose look at the events is older than the lease looks again before it answers.
 */
export async function contain(
  { functions, masks, follower }: HashingContext,
  tenant: string,
  request: events.ErasureRequested,
): Promise<Containment> {
  masks.add(tenant, [request.subjectAlias]);
  const addresses = await functions.ofDatasets(tenant, request.datasets);
  await sleep(follower.leaseMs);
  return { artefacts: addresses.flatMap(({ name }) => [name, indexName(name)]) };
}

/** Takes the batch out of every function. A function in which an earlier run has done so answers from its fact. */
export async function erase(
  context: HashingContext,
  tenant: string,
  started: events.ErasureStarted,
): Promise<Outcome> {
  const { functions, masks } = context;
  masks.add(tenant, [...started.subjects, ...started.cohort]);
  const outcomes: Outcome[] = [];
  for (const address of await functions.ofDatasets(tenant, started.datasets)) {
    try {
      outcomes.push(await functions.inTurn(address, () => eraseFrom(context, address, started)));
    } catch (error) {
      if (isFinal(error)) {
        const { code, message } = error;
        context.blocked.set(address.name, { code, message, sinceMs: context.clock.nowMs() });
      }
      throw error;
    }
    context.blocked.delete(address.name);
    context.drift.forget(address);
  }
  const refs = outcomes.flatMap(({ needles }) => (needles ? [needles] : []));
  return {
    claims: withinEvent(outcomes.flatMap((outcome) => outcome.claims)),
    needles: refs.length > 1 ? await mergeNeedles(context, tenant, started, refs) : refs[0],
    attestations: [],
  };
}

async function eraseFrom(
  context: HashingContext,
  address: Address,
  started: events.ErasureStarted,
): Promise<Outcome> {
  const { functions } = context;
  for (;;) {
    const before = await functions.load(address);
    const done = before.erasures[started.erasure];
    if (done && isReencoding(done)) {
      await reencode(context, address, before, done);
      continue;
    }
    if (done) {
      const outcome = await finished(context, address, before, done);
      if (outcome) return outcome;
      continue;
    }
    if (!before.current) return untouched(address, NO_VERSION, 'no version was ever learned');
    const serving = await functions.version(address, before.current);
    if (!serving) continue;
    const aliases = [...new Set([...started.subjects, ...started.cohort])];
    if (!aliases.some((alias) => serving.index.itemsOf(alias).length > 0)) {
      return untouched(address, digestsOf(serving), 'no record of the batch was learned');
    }
    await context.checks.forget(address, functions.sealed);
    await eraseItems(context, address, before, started, aliases);
  }
}

/**
 * Everything that a crash may have left is gone, and the memory of the index holds nothing of the erased: what the claims say.
 * @returns undefined if the function has changed since `before` was read
 */
async function finished(
  { functions, checks }: HashingContext,
  address: Address,
  before: Existing,
  done: events.HashFunctionPromoted,
): Promise<Outcome | undefined> {
  const { tenant } = address;
  assert(before.current, 'an erasure has made a version');
  const learned = await functions.version(address, before.current);
  if (!learned) return undefined;
  // Also a check that began on the version with the person while this erasure ran.
  await checks.forget(address, functions.sealed);
  await functions.settle(address, before.current, learned);
  const needles = done.needles ? decodeNeedles(await functions.sealed.get(tenant, done.needles)) : [];
  const residue = countInMemory(
    learned.index.memory().map(({ bytes }) => bytes),
    needles.flatMap(({ kind, hex: text }) => (kind === 'ledger-salt' ? [Buffer.from(text, 'hex')] : [])),
  );
  if (residue > 0) {
    throw HASHING_SERVICE.RESIDUE('the memory of an index holds bytes of erased entries', {
      details: { function: address.name, places: residue },
    });
  }
  return {
    claims: done.claims.map((claim) => ({
      ...claim,
      details: { ...claim.details, residualInIndexMemory: '0' },
    })),
    needles: done.needles,
    attestations: [],
  };
}

/** Promotes the version without the batch, unless another process was first. */
async function eraseItems(
  context: HashingContext,
  address: Address,
  before: Existing,
  started: events.ErasureStarted,
  aliases: readonly string[],
): Promise<void> {
  const { functions, churnExactMax } = context;
  const { tenant } = address;
  const eventId = effectId(`${started.erasure}|${address.name}`, EVENT.hashFunctionPromoted.type);
  const policy = policyOf(before);
  await functions.change(address, before, eventId, async (attempt, base): Promise<Prepared> => {
    assert(base, 'only a learned function is erased from');
    const items = aliases
      .flatMap((alias) => base.index.itemsOf(alias))
      .map((itemId) => liveItem(base, itemId));
    const gone = new Set(items.map(({ index }) => index));
    const version = base.version + 1;
    const erased = await subtract(context, base, items);
    const churn = await measureChurn(base, erased, gone, churnExactMax);
    await attempt.expect(piecesOf(erased, gone));
    const { parts, replaced } = await storeParts(attempt, base, erased);
    const rows = erased.parts.flatMap((part) => part.rows);
    const duplicates = await withoutDuplicatesOf(
      attempt,
      base.store,
      base.head.duplicates,
      items.map(({ itemId }) => itemId),
    );
    const needles = await functions.sealed.put(
      tenant,
      needlesKeyId(started),
      encodeNeedles(needlesOf(items, rows, duplicates.gone)),
    );
    const change = await base.index.erase(
      items.map(({ itemId }) => itemId),
      BigInt(version),
    );
    attempt.open = change;
    const document = encodeErasureProof(change.proof);
    const proof = await functions.sealed.put(tenant, proofKeyId(address, started), document);
    const live = countItems(base.head.live, items, -1);
    // The weights of the version before have seen the persons: no state names them any more.
    const { previous, ...kept } = base.head;
    const head = {
      ...kept,
      ...{ version, parts, live, index: change.manifest, duplicates: duplicates.pieces },
      quarantine: base.head.quarantine.filter(({ position }) => !gone.has(position)),
    };
    const after: VersionDigests = {
      weights: weightsDigestOf(parts),
      sums: sumsDigestOf(parts),
      ledgerRoot: change.manifest.root,
    };
    const details = {
      erasedItems: items.length,
      survivors: churn.survivors,
      survivorCodes: policy,
      ...churnDetails(churn),
      versionBefore: base.version,
      versionAfter: version,
      erasedLeaves: change.proof.erased.length,
      ledgerSize: change.proof.size,
      segmentsRewritten: change.rewritten.length,
      blocksRewritten: erased.parts.reduce((sum, { blocks }) => sum + blocks.size, 0),
      ...rebuiltDetails(erased, items.length),
      ...(policy === 'KEEP' ? {} : { [REENCODING]: 'pending' }),
      ...(duplicates.gone.length > 0 && { nearDuplicatesErased: duplicates.gone.length }),
      ...(duplicates.lost > 0 && { nearDuplicateRecordsLost: duplicates.lost }),
      ...(previous && { previousWeightsDropped: previous.version }),
    };
    for (const { code, salt } of items) for (const bytes of [code, salt]) bytes.fill(0);
    for (const row of [...rows, ...duplicates.gone]) row.fill(0);
    return {
      head,
      index: base.index,
      store: base.store,
      replaced: [...replaced, ...duplicates.replaced, ...change.superseded.map(({ reference }) => reference)],
      promotion: {
        erasure: started.erasure,
        needles,
        proof,
        claims: claims(address.name, digestsOf(base), after, details, proofDetails('erasureProof', document)),
        statisticsMs: erased.statisticsMs,
        solveMs: erased.solveMs,
        oldCodesRootBefore: new Uint8Array(0),
        oldCodesRootAfter: new Uint8Array(0),
        reencoding: movingOn(before, live),
      },
    };
  });
}

/** A re-encoding goes on after an erasure, and the newest version answers for all codes. */
function movingOn(before: Existing, live: LiveCounts): hashing.Reencoding | undefined {
  const reencoding = movingCodes(before);
  return reencoding && reencodingLeft({ ...reencoding, fromVersion: 0 }, live);
}

function liveItem({ index }: Learned, itemId: Uint8Array): LiveItem {
  const entry = index.entry(itemId);
  assert(entry.kind === 'live', 'items of a person are live');
  return entry;
}

/** Blocks that could not be read, and how many rows of the erased no scan can look for, because nobody knows them any more. */
function rebuiltDetails({ parts }: ErasedItems, items: number): Readonly<Record<string, number>> {
  const rebuilt = parts.reduce((sum, part) => sum + part.rebuilt, 0);
  const known = parts.reduce((sum, { rows }) => sum + rows.length, 0);
  return rebuilt === 0 ? {} : { blocksRebuilt: rebuilt, featureRowsNotScanned: items - known };
}

/** How many pieces of each kind an erasure stores. @param gone positions of the items */
function piecesOf({ parts }: ErasedItems, gone: ReadonlySet<number>): Readonly<Record<string, number>> {
  const stays = ({ positions }: FeatureBlock): boolean => positions.length > 0;
  return {
    block: parts
      .flatMap(({ blocks, sample }) => [...blocks.values(), ...(sample ? [sample] : [])])
      .filter(stays).length,
    segment: new Set(Iterator.from(gone).map((position) => Math.floor(position / SEGMENT_ROWS))).size,
    head: 1,
  };
}

/** Stores the blocks and samples that held the persons, without them. */
async function storeParts(
  attempt: Attempt,
  base: Learned,
  { parts }: ErasedItems,
): Promise<{ readonly parts: Part[]; readonly replaced: readonly string[] }> {
  const replaced: string[] = [];
  const out: Part[] = [];
  for (const [number, { part, blocks, sample }] of parts.entries()) {
    const stored = new Map<number, BlockRef | undefined>();
    await sideBySide([...blocks], async ([at, block]) => {
      stored.set(at, await storeBlock(attempt, block));
    });
    replaced.push(...[...blocks.keys()].map((at) => part.blocks[at]!.reference));
    let kept = base.head.parts[number]!.sample;
    if (sample) {
      replaced.push(kept.block!.reference);
      kept = { ...kept, block: await storeBlock(attempt, sample) };
    }
    const refs = part.blocks.flatMap((ref, at) => (stored.has(at) ? (stored.get(at) ?? []) : ref));
    out.push({ ...part, blocks: refs, sample: kept });
  }
  return { parts: out, replaced };
}

/** @returns undefined for a block without rows, which needs no place */
export async function storeBlock(attempt: Attempt, block: FeatureBlock): Promise<BlockRef | undefined> {
  if (block.positions.length === 0) return undefined;
  const [piece] = await attempt.put('block', [encodeBlock(block)]);
  assert(piece, 'one piece was put');
  return blockRef(block, piece.reference, piece.digest);
}

/** Detail of a claim: the second half of an erasure under a policy that gives survivors other codes. */
const REENCODING = 'reencoding';

const isReencoding = ({ claims: made }: events.HashFunctionPromoted): boolean =>
  made.some(({ details }) => details[REENCODING] === 'pending');

/**
 * Gives survivors the codes that their policy asks for: a new ledger version, as a fact of its own after the erasure's. The persons
 * are gone by then; a crash in between leaves a function that serves, and this to be done again.
 */
async function reencode(
  { functions }: HashingContext,
  address: Address,
  before: Existing,
  done: events.HashFunctionPromoted,
): Promise<void> {
  const eventId = effectId(`${done.erasure}|${address.name}|reencoded`, EVENT.hashFunctionPromoted.type);
  await functions.change(address, before, eventId, async (attempt, base): Promise<Prepared> => {
    assert(base, 'an erasure has made a version');
    const version = base.version + 1;
    const changes = await newCodes(base, policyOf(before) === 'RETIRE');
    const parts = base.head.parts.map((part) => ({ ...part, fn: { ...part.fn, version } }));
    const old = changes.map(({ itemId }) => liveItem(base, itemId));
    const change = changes.length > 0 ? await base.index.reencode(changes, version) : undefined;
    attempt.open = change;
    const index = change?.manifest ?? base.index.manifest();
    // After a change between the two halves the claim's roots and counts are not those of one proof.
    const document =
      change && base.version === done.version
        ? encodeReencodeProof(change.proof, index.ledgerVersion)
        : undefined;
    const renewed = old.map((item) => ({ ...item, fnVersion: version }));
    const live = countItems(countItems(base.head.live, old, -1), renewed, 1);
    return {
      head: { ...base.head, version, parts, live, index },
      index: base.index,
      store: base.store,
      replaced: change?.superseded.map(({ reference }) => reference) ?? [],
      promotion: {
        erasure: done.erasure,
        needles: done.needles,
        proof: document ? await bothProofs(functions, address, done, document) : done.proof,
        claims: done.claims.map(({ details: { [REENCODING]: _, ...details }, ...claim }) => ({
          ...claim,
          digestAfter: claim.kind === 'HASH_INDEX' ? index.root : claim.digestAfter,
          details: {
            ...details,
            ledgerRootErased: hex(done.ledgerRoot),
            ledgerRootAfter: index.root,
            ledgerVersion: String(index.ledgerVersion),
            reencodedCodes: String(changes.length),
            ...(document && claim.kind === 'HASH_INDEX' ? proofDetails('reencodeProof', document) : {}),
            versionAfter: String(version),
          },
        })),
        statisticsMs: done.statisticsMs,
        solveMs: done.solveMs,
        oldCodesRootBefore: new Uint8Array(0),
        oldCodesRootAfter: new Uint8Array(0),
        reencoding: movingOn(before, live),
      },
    };
  });
}

/** All needles of one erasure, whichever function they come from: the vault destroys this key with the scan. */
const needlesKeyId = (started: events.ErasureStarted): string =>
  `hash-needles-${parseName('erasureRequest', started.erasure)[1]!}`;

/** A key that lives on: an auditor may ask for the proof as long as the function is there. */
const proofKeyId = ({ name }: Address, { erasure }: Pick<events.ErasureStarted, 'erasure'>): string =>
  `hash-proof-${hex(sha256(`${name}|${erasure}`)).slice(0, 32)}`;

/** The erasure's proof and the re-encoding's in one artefact, a line each. */
async function bothProofs(
  { sealed }: HashFunctions,
  address: Address,
  { proof, erasure }: events.HashFunctionPromoted,
  second: Uint8Array,
): Promise<events.ArtefactRef> {
  assert(proof, 'the erasure has left one');
  const first = await sealed.get(address.tenant, proof);
  const lines = concatBytes(first, utf8('\n'), second);
  return await sealed.put(address.tenant, proofKeyId(address, { erasure }), lines);
}

const digestsOf = (learned: Learned): VersionDigests => ({
  weights: learned.weightsDigest,
  sums: learned.sumsDigest,
  ledgerRoot: hex(learned.index.root()),
});

/** Digest of no bytes, which is also RFC 6962's root of an empty tree. */
const NOTHING = hex(sha256());
const NO_VERSION: VersionDigests = { weights: NOTHING, sums: NOTHING, ledgerRoot: NOTHING };

const untouched = ({ name }: Address, digests: VersionDigests, reason: string): Outcome => ({
  claims: claims(name, digests, digests, { reason }),
  needles: undefined,
  attestations: [],
});

/** The needles of several functions as one artefact, under the key that they all have. */
async function mergeNeedles(
  { functions }: HashingContext,
  tenant: string,
  started: events.ErasureStarted,
  refs: readonly events.ArtefactRef[],
): Promise<events.ArtefactRef> {
  const parts = await Promise.all(refs.map((ref) => functions.sealed.get(tenant, ref)));
  return await functions.sealed.put(
    tenant,
    needlesKeyId(started),
    encodeNeedles(parts.flatMap(decodeNeedles)),
  );
}
