import { parseName } from '@lethe/contracts';
import type { SealedArtefacts, ServiceDeps } from '@lethe/service';
import type { Erasures } from '../directory.ts';
import { type ErasureResource, toResource } from '../domain/resource.ts';
import { ERASURE } from '../errors.ts';
import type { Gatherer } from '../gather.ts';
import type { Keys } from '../keys.ts';
import type { TransparencyLog } from '../transparency-log.ts';

/** What the methods of this service share. */
export interface RpcContext {
  readonly deps: ServiceDeps;
  readonly gatherer: Gatherer;
  readonly directory: Erasures;
  readonly log: TransparencyLog;
  readonly keys: Keys;
  readonly artefacts: SealedArtefacts;
}

/** @param name tenants/{tenant}/erasureRequests/{erasure} @throws LETHE-4505 */
export async function loadResource({ gatherer }: RpcContext, name: string): Promise<ErasureResource> {
  const [tenant, id] = parseName('erasureRequest', name);
  const saga = await gatherer.saga(tenant, id!);
  if (!saga.requested) throw ERASURE.REQUEST_UNKNOWN(`there is no erasure request ${name}`);
  return toResource(saga, await gatherer.facts(tenant, id!));
}
