/** The functions that this process serves: their aggregates, the newest version of each in memory, one change at a time. */
import { EVENT, type events, resourceName } from '@lethe/contracts';
import { AggregateStore, newEvent } from '@lethe/events';
import {
  type Directory,
  datasetOfRoot,
  directoryOf,
  type Listed,
  SealedArtefacts,
  type ServiceDeps,
} from '@lethe/service';
import { assert, equalBytes, hex, sha256 } from '@lethe/std';
import { type HashFunctionAggregate, hashFunction, type KeptSpec } from './domain/hash-function.ts';
import { decodeState, encodeState, type FunctionState } from './domain/state.ts';
import { HASHING_SERVICE } from './errors.ts';
import { Learned } from './learned.ts';

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
>;

export class HashFunctions {
  readonly aggregates: AggregateStore<HashFunctionAggregate, (typeof hashFunction.events)[number]>;
  readonly sealed: SealedArtefacts;
  readonly #directory: Directory;
  readonly #learned = new Map<string, Learned>();
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(deps: ServiceDeps) {
    this.#directory = directoryOf(deps.bus, hashFunction.type);
    this.sealed = new SealedArtefacts(deps);
    this.aggregates = new AggregateStore(hashFunction, {
      bus: deps.bus,
      source: 'hashing',
      clock: deps.clock,
    });
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

  /** The newest version. @throws LETHE-4201 unknown  @throws LETHE-4203 no version yet  @throws LETHE-4209 damaged */
  async serving(address: Address): Promise<Learned> {
    const cached = this.#learned.get(address.name);
    if (cached) return cached;
    const { current } = await this.load(address);
    if (!current) {
      throw HASHING_SERVICE.NOT_SERVING('the function has no version yet', {
        details: { function: address.name },
      });
    }
    try {
      const opened = await this.open(address, current);
      // A newer version that came in meanwhile stays.
      if (!this.#learned.has(address.name)) this.#learned.set(address.name, opened);
    } catch (error) {
      // The version may have been replaced, and its key destroyed, while it was being opened.
      if (!this.#learned.has(address.name)) throw error;
    }
    return this.#learned.get(address.name)!;
  }

  /** Exactly the version that a fact names, for a change that starts from it. @throws LETHE-4209 */
  async version(address: Address, promoted: events.HashFunctionPromoted): Promise<Learned> {
    const cached = this.#learned.get(address.name);
    if (cached?.version === promoted.version) return cached;
    const opened = await this.open(address, promoted);
    this.#learned.set(address.name, opened);
    return opened;
  }

  /** Reads a version from its artefact and compares it with the digests in its fact. @throws LETHE-4209 */
  async open({ tenant, name }: Address, promoted: events.HashFunctionPromoted): Promise<Learned> {
    assert(promoted.state, 'a promoted version names its state');
    const bytes = await this.sealed.get(tenant, promoted.state);
    const learned =
      hex(sha256(bytes)) === promoted.state.digest ? new Learned(decodeState(bytes)) : undefined;
    const sound =
      learned &&
      learned.version === promoted.version &&
      learned.weightsDigest === promoted.weightsDigest &&
      learned.sumsDigest === promoted.sumsDigest &&
      equalBytes(learned.ledger.root(), promoted.ledgerRoot);
    if (sound) return learned;
    throw HASHING_SERVICE.STATE_DAMAGED('the stored state is not the one that was promoted', {
      details: { function: name, version: promoted.version },
    });
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
   * New artefact under a new key → the fact that names it → serve it → destroy the old key and bytes.
   * @returns the version in service, or undefined if another process has changed the function since `before` was read
   */
  async promote(
    address: Address,
    before: Existing,
    state: FunctionState,
    promotion: (next: Learned) => Promise<Promotion>,
    eventId: string,
  ): Promise<Learned | undefined> {
    const { tenant, id, name } = address;
    // What a crash between an earlier fact and its clean-up has left goes first: only the last one is remembered.
    await this.destroySuperseded(address, before);
    const next = new Learned(state);
    const ref = await this.sealed.put(tenant, `hash-state-${id}-v${next.version}`, encodeState(state));
    const promoted: events.HashFunctionPromoted = {
      function: name,
      version: next.version,
      root: state.root,
      weightsDigest: next.weightsDigest,
      sumsDigest: next.sumsDigest,
      ledgerRoot: next.ledger.root(),
      itemCount: BigInt(next.items.length),
      classes: next.classes,
      state: ref,
      ...(await promotion(next)),
    };
    const { state: after } = await this.aggregates.propose(tenant, id, (now) =>
      now.current?.version === before.current?.version
        ? [newEvent(EVENT.hashFunctionPromoted, promoted, eventId)]
        : [],
    );
    if (after.current?.state?.object !== ref.object) {
      await this.sealed.discard(tenant, ref);
      this.#learned.delete(name);
      return undefined;
    }
    this.#learned.set(name, next);
    await this.destroySuperseded(address, after);
    return next;
  }

  /** Destroys what the version before the current one has stored, if it is still there. */
  async destroySuperseded({ tenant }: Address, { superseded }: HashFunctionAggregate): Promise<void> {
    await this.sealed.destroy(tenant, [superseded]);
  }
}
