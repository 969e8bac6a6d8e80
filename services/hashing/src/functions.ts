/** The functions that this process serves: their aggregates, the newest version of each in memory, one change at a time. */
import { EVENT, type events, resourceName } from '@lethe/contracts';
import { AggregateStore, type Loaded, newEvent } from '@lethe/events';
import { CodeIndex, INDEX, type IndexManifest, type SegmentStore } from '@lethe/index';
import {
  type Directory,
  datasetOfRoot,
  directoryOf,
  type Listed,
  type SealedArtefacts,
  type ServiceDeps,
} from '@lethe/service';
import { assert, equalBytes, fromHex, hex, type Logger, type RandomSource, sha256, sleep } from '@lethe/std';
import { type HashFunctionAggregate, hashFunction, type KeptSpec } from './domain/hash-function.ts';
import {
  decodeHead,
  encodeHead,
  formatOf,
  type Head,
  referencesOf,
  sumsDigestOf,
  weightsDigestOf,
} from './domain/head.ts';
import { FORMAT_V1 } from './domain/state-v1.ts';
import { HASHING_SERVICE } from './errors.ts';
import { Learned } from './learned.ts';
import { openV1, storeV1 } from './migrate.ts';
import { type Attempt, PieceStore, type Reference, referenceOf, SealedState } from './sealed-state.ts';
import type { SearchEngine } from './search-engine.ts';

export type Existing = HashFunctionAggregate & { readonly spec: KeptSpec };

export interface Address {
  readonly tenant: string;
  readonly id: string;
  readonly name: string;
}

export const addressOf = (tenant: string, id: string): Address => ({
  tenant,
  id,
  name: resourceName('hashFunction', tenant, id),
});

/** What a change of a function's state says about itself in the fact that commits it. */
export type Promotion = Pick<
  events.HashFunctionPromoted,
  | 'proof'
  | 'erasure'
  | 'needles'
  | 'claims'
  | 'statisticsMs'
  | 'solveMs'
  | 'oldCodesRootBefore'
  | 'oldCodesRootAfter'
> &
  Partial<Pick<events.HashFunctionPromoted, 'gate' | 'reencoding' | 'edits'>>;

/** A version in memory, and the number of the function's last event that it reflects. */
export interface Serving {
  readonly learned: Learned;
  readonly applied: bigint;
}

/** A version whose pieces are stored, before the fact that makes it one. */
export interface Prepared {
  readonly head: Head;
  readonly index: CodeIndex;
  readonly store: PieceStore;
  /** Pieces of the version before that this one does not name. */
  readonly replaced: readonly Reference[];
  readonly promotion: Promotion;
}

/** Changes within one version are fewer: a step of a re-encoding for each feature block, and an edit for each call about a quarantine. */
const STEPS = 2 ** 20;

/** Orders the states of a function: by version, and within one by what changes no version. */
const revisionOf = (promoted: events.HashFunctionPromoted | undefined): number =>
  (promoted?.version ?? 0) + ((promoted?.reencoding?.step ?? 0) + (promoted?.edits ?? 0)) / STEPS;

/** Segments of a manifest that an index has in memory, by digest: what the store has lost, this process may still have. */
const inMemory = (index: CodeIndex, { segments }: IndexManifest): Pick<SegmentStore, 'get'> => ({
  get: async (reference) => {
    const wanted = segments.find((ref) => ref.reference === reference)?.digest;
    const number = index.manifest().segments.findIndex(({ digest }) => digest === wanted);
    const segment = index.segments()[number];
    if (!segment) throw INDEX.SEGMENT_MISSING('no segment in memory has this digest');
    return segment.bytes.slice();
  },
});

const editsOf = ({ edits }: events.HashFunctionPromoted) => (edits === undefined ? {} : { edits });

const POLL_MS = 20;
/** How long a caller who names an event may wait for a replica to reflect it. */
const WAIT_MS = 2_000;

export class HashFunctions {
  readonly aggregates: AggregateStore<HashFunctionAggregate, (typeof hashFunction.events)[number]>;
  readonly state: SealedState;
  readonly engine: SearchEngine;
  /** Called with the newest version after each look for it, opened from the store or in memory already. */
  onOpened: ((address: Address, learned: Learned) => void) | undefined;
  readonly #directory: Directory;
  readonly #random: RandomSource;
  readonly #logger: Logger;
  readonly #waitMs: number;
  readonly #serving = new Map<string, Serving>();
  readonly #refreshing = new Map<string, Promise<void>>();
  readonly #turns = new Map<string, Promise<unknown>>();

  /** @param waitMs how long a caller who names an event may wait for it; default 2 s */
  constructor(deps: ServiceDeps, engine: SearchEngine, waitMs = WAIT_MS) {
    this.engine = engine;
    this.#directory = directoryOf(deps.bus, hashFunction.type);
    this.#random = deps.random;
    this.#logger = deps.logger;
    this.#waitMs = waitMs;
    this.state = new SealedState(deps);
    this.aggregates = new AggregateStore(hashFunction, {
      bus: deps.bus,
      source: 'hashing',
      clock: deps.clock,
    });
  }

  get sealed(): SealedArtefacts {
    return this.state.sealed;
  }

  /** @throws LETHE-4201 */
  async load({ tenant, id, name }: Address): Promise<Existing> {
    const { state } = await this.aggregates.load(tenant, id);
    const { spec } = state;
    if (!spec)
      throw HASHING_SERVICE.FUNCTION_UNKNOWN('there is no such function', { details: { function: name } });
    return { ...state, spec };
  }

  /** Every function, or those of one tenant, oldest first. */
  async list(tenant?: string): Promise<(Address & Pick<Listed, 'sequence'>)[]> {
    const listed = await (tenant === undefined ? this.#directory.all() : this.#directory.ofTenant(tenant));
    return listed.map(({ tenant: owner, id, sequence }) => ({ ...addressOf(owner, id), sequence }));
  }

  /** Functions of a tenant that learn from one of these datasets. */
  async ofDatasets(tenant: string, datasets: readonly string[]): Promise<Address[]> {
    const out: Address[] = [];
    for (const address of await this.list(tenant)) {
      const { spec } = await this.load(address);
      if (datasets.includes(datasetOfRoot(spec.root))) out.push(address);
    }
    return out;
  }

  /**
   * The newest version as far as this replica has followed, with the number of the function's last event that it reflects.
   * @param atLeast number of an event that it must reflect @throws LETHE-4201 unknown  @throws LETHE-4203 no version yet
   * @throws LETHE-4209, LETHE-26xx damaged  @throws LETHE-4212 it does not reflect the event within the time that a caller may wait
   */
  async serving(address: Address, atLeast = 0n): Promise<Serving> {
    const cached = this.#serving.get(address.name);
    if (cached && atLeast <= cached.applied) return cached;
    const opening = this.refresh(address);
    const endMs = performance.now() + this.#waitMs;
    while (atLeast > 0n) {
      const present = this.#serving.get(address.name);
      if (present && atLeast <= present.applied) return present;
      if (performance.now() > endMs) {
        throw HASHING_SERVICE.REPLICA_BEHIND('this replica has not applied the event', {
          details: { function: address.name, applied: Number(present?.applied ?? 0n) },
        });
      }
      await Promise.race([this.refresh(address), sleep(POLL_MS)]);
      await sleep(POLL_MS);
    }
    await opening;
    const opened = this.#serving.get(address.name);
    if (opened) return opened;
    throw HASHING_SERVICE.NOT_SERVING('the function has no version yet', {
      details: { function: address.name },
    });
  }

  /** What is in memory, without opening anything. */
  loaded({ name }: Address): Serving | undefined {
    return this.#serving.get(name);
  }

  /** Notes that a function has a new event: a version in memory is replaced in the background, and serves until then. */
  changed(address: Address): void {
    if (!this.#serving.has(address.name)) return;
    this.refresh(address).catch((error: unknown) => {
      this.#logger.warn('a new version could not be opened; the one before serves on', {
        function: address.name,
        error,
      });
    });
  }

  /** Opens the newest version if it is another than the one in memory. One at a time for each function. */
  async refresh(address: Address): Promise<void> {
    const running = this.#refreshing.get(address.name);
    if (running) return await running;
    const mine = this.#refresh(address).finally(() => this.#refreshing.delete(address.name));
    this.#refreshing.set(address.name, mine);
    await mine;
  }

  async #refresh(address: Address): Promise<void> {
    for (;;) {
      const { state, version } = await this.aggregates.load(address.tenant, address.id);
      if (!state.spec) {
        throw HASHING_SERVICE.FUNCTION_UNKNOWN('there is no such function', {
          details: { function: address.name },
        });
      }
      if (!state.current) return;
      try {
        const learned = this.#cached(address, state.current) ?? (await this.open(address, state.current));
        this.#serve(address, learned, BigInt(version));
        this.onOpened?.(address, learned);
        return;
      } catch (error) {
        // The version may have been replaced, and its keys destroyed, while it was being opened.
        const now = await this.aggregates.load(address.tenant, address.id);
        if (now.state.current?.state?.object === state.current.state?.object) throw error;
      }
    }
  }

  /** An older answer never replaces a newer one: a change of this process may have been faster than the opening. */
  #serve(address: Address, learned: Learned, applied: bigint): void {
    const before = this.#serving.get(address.name);
    const isSame = before?.learned.reference === learned.reference;
    const kept = before && (isSame || before.applied > applied) ? before.learned : learned;
    const newest = before && before.applied > applied ? before.applied : applied;
    this.#serving.set(address.name, { learned: kept, applied: newest });
    this.engine.serve(kept.index);
    for (const other of [before?.learned, learned]) {
      if (other && other.index !== kept.index) other.retire(() => this.engine.release(other.index));
    }
  }

  /** Opens the version in memory from the store again: its memory is damaged. To be called in the function's turn. */
  async reopen(address: Address): Promise<void> {
    this.#forget(address);
    await this.refresh(address);
  }

  #cached({ name }: Address, { state }: events.HashFunctionPromoted): Learned | undefined {
    const cached = this.#serving.get(name)?.learned;
    return cached && state && cached.reference === referenceOf(state) ? cached : undefined;
  }

  /**
   * Exactly the version that a fact names, for a change that starts from it: the one that serves, so that no second copy of it is in memory.
   * @returns undefined if the function has a newer fact by now: load it again @throws LETHE-4209, LETHE-26xx
   */
  async version(address: Address, promoted: events.HashFunctionPromoted): Promise<Learned | undefined> {
    const cached = this.#cached(address, promoted);
    if (cached) return cached;
    await this.refresh(address);
    return this.#cached(address, promoted);
  }

  /** Reads a version from what it has stored and compares it with the digests in its fact. @throws LETHE-4209, LETHE-26xx */
  async open({ tenant, name }: Address, promoted: events.HashFunctionPromoted): Promise<Learned> {
    assert(promoted.state, 'a promoted version names its state');
    const damaged = (cause?: unknown) =>
      HASHING_SERVICE.STATE_DAMAGED('the stored state is not the one that was promoted', {
        details: { function: name, version: promoted.version },
        cause,
      });
    const bytes = await this.sealed.get(tenant, promoted.state);
    if (hex(sha256(bytes)) !== promoted.state.digest) throw damaged();
    const learned = await (formatOf(bytes) === FORMAT_V1
      ? openV1(this.state, tenant, bytes, referenceOf(promoted.state))
      : this.#openHead({ tenant, name }, decodeHead(bytes), referenceOf(promoted.state)));
    const sound =
      learned.version === promoted.version &&
      learned.weightsDigest === promoted.weightsDigest &&
      learned.sumsDigest === promoted.sumsDigest &&
      equalBytes(learned.index.root(), promoted.ledgerRoot);
    if (sound) return learned;
    learned.index.close();
    throw damaged();
  }

  async #openHead(
    { tenant, name }: Pick<Address, 'tenant' | 'name'>,
    head: Head,
    reference: Reference,
  ): Promise<Learned> {
    const store = new PieceStore(this.state, tenant);
    const serving = this.#serving.get(name)?.learned;
    const release = serving?.hold();
    try {
      const copies = serving ? [inMemory(serving.index, head.index)] : [];
      const options = { store, random: this.#random, table: this.engine.table, copies };
      return new Learned(head, await CodeIndex.open(head.index, options), store, reference);
    } finally {
      release?.();
    }
  }

  /** True while a change of the function runs. */
  isChanging({ name }: Address): boolean {
    return this.#turns.has(name);
  }

  /** Changes of one function one after the other: an erasure waits for an update that runs, and the other way round. */
  async inTurn<T>({ name }: Address, work: () => Promise<T>): Promise<T> {
    const mine = (this.#turns.get(name) ?? Promise.resolve()).then(work, work);
    const settled = mine.catch(() => undefined);
    this.#turns.set(name, settled);
    try {
      return await mine;
    } finally {
      if (this.#turns.get(name) === settled) this.#turns.delete(name);
    }
  }

  /**
   * Makes a change of a function a fact: pieces under new keys → the fact that names them → serve it → destroy what it replaces.
   * Until the fact, the version before serves and nothing of it is touched; whatever fails, it goes on.
   * @param prepare stores the pieces of the next version; what it leaves in `attempt.open` is committed or aborted here
   * @returns the version in service, or undefined if another process has changed the function since `before` was read
   */
  async change(
    address: Address,
    before: Existing,
    eventId: string,
    prepare: (attempt: Attempt, base: Learned | undefined) => Promise<Prepared>,
  ): Promise<Learned | undefined> {
    const base = before.current && (await this.version(address, before.current));
    if (before.current && !base) return undefined;
    // Another process's version may come to serve meanwhile, which would close the index that this change works on.
    const release = base?.hold();
    try {
      return await this.#change(address, before, base, eventId, prepare);
    } finally {
      release?.();
    }
  }

  async #change(
    address: Address,
    before: Existing,
    base: Learned | undefined,
    eventId: string,
    prepare: (attempt: Attempt, base: Learned | undefined) => Promise<Prepared>,
  ): Promise<Learned | undefined> {
    const { tenant, id, name } = address;
    await this.settle(address, before.current, base);
    const attempt = this.state.attempt(tenant, name, revisionOf(before.current));
    let prepared: Prepared;
    let promoted: events.HashFunctionPromoted;
    try {
      const stored = base?.store.isInMemory
        ? await storeV1(this.state, tenant, base, attempt, this.#random)
        : base;
      if (stored) stored.store.attempt = attempt;
      prepared = await prepare(attempt, stored);
      const [head] = await attempt.put('head', [encodeHead(prepared.head)]);
      assert(head, 'one piece was put');
      await attempt.replaces([...(base ? [base.reference] : []), ...prepared.replaced]);
      const next = prepared.head;
      promoted = {
        function: name,
        version: next.version,
        root: next.root,
        weightsDigest: weightsDigestOf(next.parts),
        sumsDigest: sumsDigestOf(next.parts),
        ledgerRoot: fromHex(next.index.root),
        itemCount: BigInt(next.live.codes.reduce((sum, { codes }) => sum + codes, 0)),
        classes: next.live.labels.map(({ label }) => label),
        state: { object: head.object, keyId: head.keyId, digest: head.digest, sizeBytes: head.sizeBytes },
        gate: undefined,
        reencoding: undefined,
        ...(next.version === before.current?.version && editsOf(before.current)),
        ...prepared.promotion,
      };
      this.#refuseOtherWeights(address, before.current, promoted);
    } catch (error) {
      await this.#abandon(address, attempt, base);
      // Who was first has destroyed what this change was reading: no failure of this one.
      const { state: now } = await this.aggregates.load(tenant, id);
      if (now.current?.state?.object !== before.current?.state?.object) return undefined;
      throw error;
    }
    let after: Loaded<HashFunctionAggregate>;
    try {
      after = await this.aggregates.propose(tenant, id, (now) =>
        now.current?.state?.object === before.current?.state?.object
          ? [newEvent(EVENT.hashFunctionPromoted, promoted, eventId)]
          : [],
      );
    } catch (error) {
      // Whether the fact is there is not known. Nothing of it may be destroyed; the next look at the events decides.
      this.#forget(address);
      throw error;
    }
    if (after.state.current?.state?.object !== promoted.state?.object) {
      await this.#abandon(address, attempt, base);
      return undefined;
    }
    const { head, index, store } = prepared;
    const next = new Learned(head, index, store, referenceOf(promoted.state!));
    // The index switches at this very call; from here on nobody is answered from the version before.
    const committed = attempt.open?.commit();
    this.#serve(address, next, BigInt(after.version));
    await committed?.catch((error: unknown) => {
      this.#logger.warn('what a version replaces is destroyed with its journal', { function: name, error });
    });
    store.attempt = undefined;
    await this.settle(address, promoted, next);
    return next;
  }

  /**
   * A change within a version moves codes or says who answers: weights and sums that differ all the same are damaged in this process's memory.
   * @throws LETHE-4209
   */
  #refuseOtherWeights(
    { name }: Address,
    before: events.HashFunctionPromoted | undefined,
    next: events.HashFunctionPromoted,
  ): void {
    if (before?.version !== next.version) return;
    if (before.weightsDigest === next.weightsDigest && before.sumsDigest === next.sumsDigest) return;
    throw HASHING_SERVICE.STATE_DAMAGED('weights or sums in memory are not those that were promoted', {
      details: { function: name, version: next.version },
    });
  }

  /** Destroys what earlier changes have left behind. @param learned the version of that fact, if there is one */
  async settle(
    { tenant, name }: Address,
    current: events.HashFunctionPromoted | undefined,
    learned: Learned | undefined,
  ): Promise<void> {
    await this.state.settle(tenant, name, revisionOf(current), () => learned?.references ?? []);
  }

  /** As `settle`, with the version's references read from its head alone. */
  async settleLater({ tenant, name }: Address, { current }: Existing): Promise<void> {
    await this.state.settle(tenant, name, revisionOf(current), async () => {
      if (!current?.state) return [];
      const bytes = await this.sealed.get(tenant, current.state);
      const own = referenceOf(current.state);
      return formatOf(bytes) === FORMAT_V1 ? [own] : [own, ...referencesOf(decodeHead(bytes))];
    });
  }

  async #abandon(address: Address, attempt: Attempt, base: Learned | undefined): Promise<void> {
    try {
      await attempt.open?.abort();
      await attempt.abandon(base?.references ?? []);
    } catch (error) {
      this.#forget(address);
      this.#logger.warn('what a change has stored is left to the next one', {
        function: address.name,
        error,
      });
    }
  }

  /** The next look opens the function anew. The index, whose change may have become a fact, answers nobody and is overwritten. */
  #forget({ name }: Address): void {
    const forgotten = this.#serving.get(name)?.learned;
    this.#serving.delete(name);
    forgotten?.retire(() => this.engine.release(forgotten.index));
  }

  /** Destroys what the version before the current one has stored, in histories that have no journal. */
  async destroySuperseded({ tenant }: Address, { superseded }: HashFunctionAggregate): Promise<void> {
    await this.sealed.destroy(tenant, [superseded]);
  }
}
