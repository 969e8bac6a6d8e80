import type { hashing } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { functionAddress, type HashingContext } from '../context.ts';
import { requestPromotion } from '../domain/hash-function.ts';
import { resource } from '../resource.ts';
import { requestEventId } from './request-event-id.ts';

/** Has a candidate served that the gate holds. The operator has read the report; the request is in the events. */
export async function promoteHashVersion(
  context: HashingContext,
  { name, root, mode, requestId }: hashing.PromoteHashVersionRequest,
): Promise<Partially<hashing.HashFunction>> {
  const address = functionAddress(name);
  // An id that an update was asked with names another request.
  const eventId = requestEventId(`${name}|promotion`, requestId);
  await context.functions.aggregates.propose(address.tenant, address.id, (state) =>
    requestPromotion(state, name, { root, mode }, eventId),
  );
  return await resource(context, address);
}
