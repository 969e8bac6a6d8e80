/**
 * Damage in the store: looked for, told, and mended from what is left, before anybody needs it.
 *
 * A version's head and segments are in the memory of each process that serves it, so the same bytes are stored again under new
 * keys. Feature blocks are not in memory: a lost one is made again from the vault's records, a lost sample from the blocks, and
 * either must have the digest that the head names. What is mended becomes a fact: a state of the same version with other
 * references. What cannot be mended (a block that holds a contained person, whose records the vault does not read; a piece of near-duplicates)
 * is counted on and named in the log; the erasure of that person learns the part again from the others.
 */
import { EVENT, type events } from '@lethe/contracts';
import { effectId } from '@lethe/events';
import { assert, hex, sha256, sleep } from '@lethe/std';
import { counter, type Measure } from '@lethe/telemetry';
import { storeBlock } from './consumers/erasure.ts';
import type { HashingContext } from './context.ts';
import { encodeBlock, type FeatureBlock } from './domain/blocks.ts';
import { type BlockRef, type Part, sumsDigestOf, weightsDigestOf } from './domain/head.ts';
import { HASHING_SERVICE } from './errors.ts';
import type { Address, Existing, Prepared } from './functions.ts';
import { breathe } from './learn.ts';
import type { Learned } from './learned.ts';
import { blockOrLoss, isLoss, rowsFromRecords, SampleRows } from './rebuild.ts';
import { type Attempt, referenceOf } from './sealed-state.ts';

const damagedTotal = counter('lethe.hashing.damaged', {
  description: 'Pieces of hash functions that a scrub has found damaged or gone',
  unit: '{piece}',
});
const mendedTotal = counter('lethe.hashing.mended', {
  description: 'Pieces of hash functions that were stored again after damage',
  unit: '{piece}',
});

/** Pieces of a version that are damaged or gone. */
export interface Damage {
  readonly head: boolean;
  /** Numbers of segments. */
  readonly segments: readonly number[];
  /** Segments whose bytes in memory are not those of the manifest. */
  readonly memory: readonly number[];
  /** Weights or sums in memory are not those that were promoted. */
  readonly weights: boolean;
  /** By modality number: places among the part's blocks. */
  readonly blocks: readonly (readonly number[])[];
  /** Modality numbers. */
  readonly samples: readonly number[];
  /** How many pieces of near-duplicates. */
  readonly duplicates: number;
}

export type PieceCounts = Readonly<
  Record<'heads' | 'segments' | 'blocks' | 'samples' | 'duplicates', number>
>;

const countsOf = ({ head, segments, blocks, samples, duplicates }: Damage): PieceCounts => ({
  heads: head ? 1 : 0,
  segments: segments.length,
  blocks: blocks.flat().length,
  samples: samples.length,
  duplicates,
});

const sumOf = (counts: PieceCounts): number => Object.values(counts).reduce((sum, count) => sum + count, 0);

/** What a scrub has found and what it has done. */
export interface Scrubbed {
  readonly damaged: PieceCounts;
  readonly mended: PieceCounts;
}

const NOTHING: PieceCounts = { heads: 0, segments: 0, blocks: 0, samples: 0, duplicates: 0 };

/** So many times as long as a block takes, a scrub rests after it: at full speed it would slow answers and changes down for seconds. */
const REST = 9;

/** How long a scrub waits before it asks again whether a change is over. */
const WAIT_MS = 50;

/**
 * Reads everything that a version has stored, while no change of the function runs: an erasure is not to wait for the disk.
 * Other errors of the store than loss pass through.
 * @returns undefined if a change has come in between, which may have destroyed what is still to be read
 */
async function lookAt(
  { functions }: HashingContext,
  address: Address,
  learned: Learned,
  state: events.ArtefactRef,
  signal: AbortSignal | undefined,
): Promise<Damage | undefined> {
  const { head, index, store } = learned;
  const isReplaced = async (): Promise<boolean> => {
    while (functions.isChanging(address)) {
      await sleep(WAIT_MS);
      signal?.throwIfAborted();
    }
    return functions.loaded(address)?.learned !== learned;
  };
  if (await isReplaced()) return undefined;
  const lostHead = await isLost(async () => {
    const bytes = await functions.sealed.get(address.tenant, state);
    if (hex(sha256(bytes)) !== state.digest)
      throw HASHING_SERVICE.STATE_DAMAGED('a stored head is another one');
  });
  const blocks: number[][] = [];
  const samples: number[] = [];
  for (const [number, part] of head.parts.entries()) {
    const lost: number[] = [];
    for (const [at, ref] of part.blocks.entries()) {
      if (await isReplaced()) return undefined;
      const startMs = performance.now();
      if (!(await blockOrLoss(learned, ref))) lost.push(at);
      await sleep(REST * (performance.now() - startMs));
      signal?.throwIfAborted();
    }
    blocks.push(lost);
    if (part.sample.block && !(await blockOrLoss(learned, part.sample.block))) samples.push(number);
  }
  let duplicates = 0;
  for (const { reference, digest } of head.duplicates)
    if (await isLost(() => store.verified(reference, digest))) duplicates++;
  const { damagedInStore, damagedInMemory } = await index.scrub();
  const { weightsDigest, sumsDigest } = learned;
  const weights = weightsDigestOf(head.parts) !== weightsDigest || sumsDigestOf(head.parts) !== sumsDigest;
  return {
    ...{ head: lostHead, weights },
    ...{ segments: damagedInStore, memory: damagedInMemory, blocks, samples, duplicates },
  };
}

async function isLost(read: () => Promise<unknown>): Promise<boolean> {
  try {
    await read();
    return false;
  } catch (error) {
    if (!isLoss(error)) throw error;
    return true;
  }
}

/**
 * Looks at everything that the version in memory has stored, and mends what is damaged.
 * @returns undefined if there was nothing to look at: no version in memory, an older one than the newest, one of an earlier format, or
 *   one that was replaced meanwhile, whose pieces are gone for that reason
 * @param signal ends the looking
 */
export async function scrub(
  context: HashingContext,
  address: Address,
  signal?: AbortSignal,
): Promise<Scrubbed | undefined> {
  const { functions, logger } = context;
  const before = await functions.load(address);
  const learned = functions.loaded(address)?.learned;
  const state = before.current?.state;
  if (!learned || !state || learned.store.isInMemory || learned.reference !== referenceOf(state))
    return undefined;
  const release = learned.hold();
  const damage = await lookAt(context, address, learned, state, signal).finally(release);
  const { current: now } = await functions.load(address);
  if (!damage || now?.state?.object !== state.object) return undefined;
  const damaged = countsOf(damage);
  if (damage.memory.length > 0 || damage.weights) await reopen(context, address, damage);
  if (sumOf(damaged) === 0) return { damaged, mended: NOTHING };
  logger.warn('stored pieces of a function are damaged or gone', { function: address.name, ...damaged });
  count(damagedTotal, damaged);
  const mended = await functions.inTurn(address, () => mend(context, address, before, damage));
  logger.warn('pieces of a function were stored again', { function: address.name, ...mended });
  count(mendedTotal, mended);
  return { damaged, mended };
}

/** What is damaged in memory comes from the store, unless something is damaged there as well that only this memory may have. */
async function reopen(
  { functions, logger }: HashingContext,
  address: Address,
  damage: Damage,
): Promise<void> {
  const details = { function: address.name, segments: damage.memory.length, weights: damage.weights };
  logger.error('segments or weights in the memory of this process are damaged', details);
  if (damage.segments.length === 0 && !damage.head)
    await functions.inTurn(address, () => functions.reopen(address));
}

function count(total: Measure, counts: PieceCounts): void {
  for (const [piece, pieces] of Object.entries(counts)) if (pieces > 0) total(pieces, { piece });
}

/** Makes a state with the same content under other references a fact. @returns what it stored again; nothing if another change was first */
async function mend(
  context: HashingContext,
  address: Address,
  before: Existing,
  damage: Damage,
): Promise<PieceCounts> {
  const { functions } = context;
  const { current } = before;
  assert(current, 'a version that serves is a fact');
  const { statisticsMs, solveMs, reencoding } = current;
  const edits = (current.edits ?? 0) + 1;
  const eventId = effectId(
    `${address.name}|${current.version}|edit ${edits}`,
    EVENT.hashFunctionPromoted.type,
  );
  const segments = damage.segments.filter((number) => !damage.memory.includes(number));
  const base = functions.loaded(address)?.learned;
  if (!base || !current.state || base.reference !== referenceOf(current.state)) return NOTHING;
  const rebuilt = await rebuildParts(context, base, damage);
  const blocks = rebuilt.reduce((sum, part) => sum + part.blocks.size, 0);
  const samples = rebuilt.filter(({ sample }) => sample).length;
  if (!damage.head && segments.length + blocks + samples === 0) return NOTHING;
  const next = await functions.change(
    address,
    before,
    eventId,
    async (attempt, started): Promise<Prepared> => {
      assert(started === base, 'nobody has changed the function meanwhile');
      const { head, index, store } = base;
      const replaced: string[] = [];
      const parts: Part[] = [];
      for (const [number, part] of head.parts.entries())
        parts.push(await storeParts(attempt, part, rebuilt[number]!, replaced));
      const change = segments.length > 0 ? await index.repair(segments) : undefined;
      attempt.open = change;
      const nothing = new Uint8Array(0);
      return {
        head: { ...head, parts, index: change?.manifest ?? head.index },
        ...{ index, store },
        replaced: [...replaced, ...(change?.superseded.map(({ reference }) => reference) ?? [])],
        promotion: {
          ...{ erasure: '', needles: undefined, proof: undefined, claims: [], statisticsMs, solveMs },
          ...{ oldCodesRootBefore: nothing, oldCodesRootAfter: nothing, reencoding, edits },
        },
      };
    },
  );
  if (!next) return NOTHING;
  return { heads: damage.head ? 1 : 0, segments: segments.length, blocks, samples, duplicates: 0 };
}

/** Lost pieces of a part that could be made again. */
interface RebuiltPart {
  /** By place among its blocks. */
  readonly blocks: ReadonlyMap<number, FeatureBlock>;
  readonly sample: FeatureBlock | undefined;
}

const isOf = (block: FeatureBlock, { digest }: BlockRef): boolean =>
  hex(sha256(encodeBlock(block))) === digest;

async function rebuildParts(
  context: HashingContext,
  learned: Learned,
  damage: Damage,
): Promise<RebuiltPart[]> {
  const out: RebuiltPart[] = [];
  for (const [number, part] of learned.head.parts.entries()) {
    const blocks = new Map<number, FeatureBlock>();
    for (const at of damage.blocks[number]!) {
      const block = await rebuiltBlock(context, learned, number, part.blocks[at]!);
      if (block) blocks.set(at, block);
    }
    const sample = damage.samples.includes(number) ? await rebuiltSample(learned, part, blocks) : undefined;
    out.push({ blocks, sample });
  }
  return out;
}

/** @returns undefined where the records do not give the very bytes */
async function rebuiltBlock(
  context: HashingContext,
  learned: Learned,
  number: number,
  ref: BlockRef,
): Promise<FeatureBlock | undefined> {
  try {
    const [block] = await rowsFromRecords(context, learned, number, [ref], new Set());
    return block && isOf(block, ref) ? block : undefined;
  } catch (error) {
    if (!isLoss(error)) throw error;
    context.logger.warn('a lost feature block cannot be made again from records', { error });
    return undefined;
  }
}

async function rebuiltSample(
  learned: Learned,
  part: Part,
  rebuilt: ReadonlyMap<number, FeatureBlock>,
): Promise<FeatureBlock | undefined> {
  const sample = new SampleRows(learned, part);
  for (const [at, ref] of part.blocks.entries()) {
    const block = rebuilt.get(at) ?? (await blockOrLoss(learned, ref));
    if (!block) return undefined;
    sample.add(block);
    await breathe();
  }
  return isOf(sample.block, part.sample.block!) ? sample.block : undefined;
}

async function storeParts(
  attempt: Attempt,
  part: Part,
  { blocks, sample }: RebuiltPart,
  replaced: string[],
): Promise<Part> {
  const refs = [...part.blocks];
  for (const [at, block] of blocks) {
    replaced.push(refs[at]!.reference);
    refs[at] = (await storeBlock(attempt, block))!;
  }
  if (!sample) return { ...part, blocks: refs };
  replaced.push(part.sample.block!.reference);
  return { ...part, blocks: refs, sample: { ...part.sample, block: await storeBlock(attempt, sample) } };
}

export interface KeeperSettings {
  /** How long after a version was opened it is scrubbed first; default one minute. */
  readonly afterMs?: number;
  /** How long after a scrub the next one begins; default six hours. */
  readonly everyMs?: number;
}

const AFTER_MS = 60_000;
const EVERY_MS = 6 * 3_600_000;
/** Leaves that are hashed between two answers: some ten milliseconds. */
const LEAVES = 2_048;

/**
 * What a process does for the functions that it has opened, beside its answers: it hashes the ledger's subtrees, which opening leaves to the
 * first change, and scrubs, by the clock.
 */
export class Keeper {
  readonly #context: HashingContext;
  readonly #afterMs: number;
  readonly #everyMs: number;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #running = new Set<Promise<void>>();
  readonly #stop = new AbortController();

  constructor(context: HashingContext, { afterMs = AFTER_MS, everyMs = EVERY_MS }: KeeperSettings = {}) {
    this.#context = context;
    this.#afterMs = afterMs;
    this.#everyMs = everyMs;
  }

  /** A version is in memory. */
  opened(address: Address, learned: Learned): void {
    this.#run(() => this.#hashTrees(learned));
    if (!this.#timers.has(address.name)) this.#plan(address, this.#afterMs);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    await Promise.all(this.#running);
  }

  #plan(address: Address, inMs: number): void {
    const { signal } = this.#stop;
    const timer = setTimeout(() => {
      this.#run(async () => {
        const scrubbed = await scrub(this.#context, address, signal).catch((error: unknown) => {
          if (!signal.aborted)
            this.#context.logger.warn('a scrub did not come to its end', { function: address.name, error });
        });
        // What came to no end, for a change or for the store, is tried again soon.
        if (!signal.aborted)
          this.#plan(address, scrubbed ? this.#everyMs : Math.min(this.#afterMs, this.#everyMs));
      });
    }, inMs);
    timer.unref();
    this.#timers.set(address.name, timer);
  }

  #run(work: () => Promise<void>): void {
    if (this.#stop.signal.aborted) return;
    const mine: Promise<void> = work().finally(() => this.#running.delete(mine));
    this.#running.add(mine);
  }

  /** A change that replaces a segment, and a closed index, take it out of the list: it is then not hashed on. */
  async #hashTrees({ index }: Learned): Promise<void> {
    for (let number = 0; !this.#stop.signal.aborted; ) {
      const segment = index.segments()[number];
      if (!segment) return;
      if (!segment.hashSome(LEAVES)) number++;
      await breathe();
    }
  }
}
