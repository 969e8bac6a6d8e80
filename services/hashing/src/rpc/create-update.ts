import type { hashing } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { datasetOfRoot } from '@lethe/service';
import { functionAddress, type HashingContext } from '../context.ts';
import { requestUpdate } from '../domain/hash-function.ts';
import { HASHING_SERVICE } from '../errors.ts';
import { resource } from '../resource.ts';
import { requestEventId } from './request-event-id.ts';

/** Asks for a later root to be learned. The present version serves until the next is there. */
export async function createUpdate(
  context: HashingContext,
  { name, root, requestId }: hashing.CreateUpdateRequest,
): Promise<Partially<hashing.HashFunction>> {
  const { functions, peers } = context;
  const address = functionAddress(name);
  const { spec } = await functions.load(address);
  if (datasetOfRoot(root) !== datasetOfRoot(spec.root)) {
    throw HASHING_SERVICE.ROOT_UNFIT('the root belongs to another dataset', { details: { root } });
  }
  await peers.vault.getDatasetRoot({ name: root });
  const eventId = requestEventId(name, requestId);
  await functions.aggregates.propose(address.tenant, address.id, (state) =>
    requestUpdate(state, name, root, eventId),
  );
  return await resource(context, address);
}
