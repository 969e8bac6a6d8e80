import type { common } from '@lethe/contracts';
import { parseName } from '@lethe/contracts';
import type { Row } from '@lethe/datasets';
import { encodeFeatures } from '@lethe/hashing';
import type { SearchFilter } from '@lethe/index';
import type { ContainedAliases, ServiceDeps } from '@lethe/service';
import type { Checks } from './checks.ts';
import type { DriftWatches } from './drift.ts';
import { HASHING_SERVICE } from './errors.ts';
import type { Follower } from './follow.ts';
import { type Address, addressOf, type HashFunctions, type Serving } from './functions.ts';
import type { Learned } from './learned.ts';
import type { Watches } from './metrics.ts';

/** Everything that the methods and consumers work with. */
export interface HashingContext extends ServiceDeps {
  readonly functions: HashFunctions;
  /** Aliases whose items no search returns. */
  readonly masks: ContainedAliases;
  readonly follower: Follower;
  /** Progress of what is being learned, by function name; not part of the state. */
  readonly progress: Map<string, common.Progress>;
  /** How long a root may take to appear in the transparency log. */
  readonly rootWaitMs: number;
  /** Up to how many survivors of an erasure are encoded one by one to count changed codes; above, a sample is. */
  readonly churnExactMax: number;
  /** Scores and drift of each function, as facts. */
  readonly watches: Watches;
  /** What is being watched for drift, in memory. */
  readonly drift: DriftWatches;
  readonly checks: Checks;
  /** Persons that a stored score is the mean of, at least. */
  readonly probesMin: number;
  /** Why an erasure cannot go on in a function, by its name: of this process, not part of the state. */
  readonly blocked: Map<
    string,
    { readonly code: string; readonly message: string; readonly sinceMs: number }
  >;
  /** Of work that searches or encodes. */
  readonly turns: Turns;
  /** False until the masks have been read: before that a search could return what has been contained. */
  ready: boolean;
}

/**
 * One caller after the other, the event loop between them: answers that take milliseconds each would otherwise follow one look at the
 * events all at once, and whoever asks for anything else would wait for the last.
 */
export class Turns {
  #last: Promise<void> = Promise.resolve();

  /** Returns when it is the caller's turn; its synchronous work is then the only work until the next turn. */
  next(): Promise<void> {
    this.#last = this.#last.then(() => new Promise((done) => setImmediate(done)));
    return this.#last;
  }
}

export function functionAddress(name: string): Address {
  const [tenant, id] = parseName('hashFunction', name);
  return addressOf(tenant, id!);
}

/**
 * A version to answer from, when this replica knows who is contained and it is the caller's turn.
 * @param atLeast number of an event of the function that it must reflect
 * @throws LETHE-4201, LETHE-4203, LETHE-4210, LETHE-4212, LETHE-4213
 */
export async function servingOf(
  { ready, functions, follower, turns }: HashingContext,
  name: string,
  atLeast = 0n,
): Promise<Serving> {
  const address = functionAddress(name);
  if (!ready) throw HASHING_SERVICE.STARTING('the service is starting');
  const serving = await functions.serving(address, atLeast);
  await follower.fresh();
  await turns.next();
  return functions.loaded(address) ?? serving;
}

/** Whom a search of a tenant's function leaves out. Read after the last await before the search. */
export const excludedOf = (
  { masks }: HashingContext,
  name: string,
): Pick<SearchFilter, 'excludedOwners'> => ({
  excludedOwners: masks.of(parseName('hashFunction', name)[0]),
});

/** The code of a caller's record, which the watch for drift sees as well. */
export function encodeQuery(
  { drift }: HashingContext,
  name: string,
  learned: Learned,
  modality: number,
  row: Row,
): Uint8Array {
  const features = learned.features(modality, [row]);
  const { fn } = learned.head.parts[modality]!;
  const encoder = { version: learned.version, part: modality, modality: learned.modalities[modality]!, fn };
  drift.observe(functionAddress(name), encoder, features);
  return encodeFeatures(fn, features);
}
