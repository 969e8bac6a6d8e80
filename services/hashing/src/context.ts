import type { common } from '@lethe/contracts';
import { parseName } from '@lethe/contracts';
import type { ContainedAliases, ServiceDeps } from '@lethe/service';
import { HASHING_SERVICE } from './errors.ts';
import { type Address, addressOf, type HashFunctions } from './functions.ts';
import type { Learned } from './learned.ts';

/** Everything that the methods and consumers work with. */
export interface HashingContext extends ServiceDeps {
  readonly functions: HashFunctions;
  /** Aliases whose items no search returns. */
  readonly masks: ContainedAliases;
  /** Progress of what is being learned, by function name; not part of the state. */
  readonly progress: Map<string, common.Progress>;
  /** How long a root may take to appear in the transparency log. */
  readonly rootWaitMs: number;
  /** False until the masks have been read: before that a search could return what has been contained. */
  ready: boolean;
}

export function functionAddress(name: string): Address {
  const [tenant, id] = parseName('hashFunction', name);
  return addressOf(tenant, id!);
}

/** The newest version of a function. @throws LETHE-4201, LETHE-4203, LETHE-4210 */
export async function servingOf({ ready, functions }: HashingContext, name: string): Promise<Learned> {
  const address = functionAddress(name);
  if (!ready) throw HASHING_SERVICE.STARTING('the service is starting');
  return await functions.serving(address);
}

/** Masks of a tenant as a search takes them. Read after the last await before the search. */
export const masksOf = ({ masks }: HashingContext, name: string) => ({
  generation: masks.generation,
  aliases: masks.of(parseName('hashFunction', name)[0]),
});
