import { requestDigest, subjectCommitment } from '@lethe/certificate';
import { EVENT, type erasure, parseName, resourceName } from '@lethe/contracts';
import { newEvent } from '@lethe/events';
import type { Partially } from '@lethe/rpc';
import { base32, LetheError, sha256 } from '@lethe/std';
import type { Saga } from '../domain/erasure.ts';
import { ERASURE } from '../errors.ts';
import { loadResource, type RpcContext } from './context.ts';

const REQUEST_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
/** A word of a policy, never a sentence in which a name could stand. */
const POLICY = /^[a-z0-9][a-z0-9.-]{0,62}$/;
const SUBJECT_ID_BYTES_MAX = 1_024;
const OPENING_BYTES = 32;

/** A repeated call finds the request that the first one made. */
export const erasureId = (tenant: string, requestId: string): string =>
  base32(sha256(`lethe-erasure-id-v1|${tenant}|${requestId}`)).slice(0, 20);

type Response = Partially<erasure.CreateErasureRequestResponse>;

/**
 * Requests of one tenant are taken one after the other, so that two for the same person do not both find none before them.
 * (Two processes may still race: both erasures then run, and the later one finds less to erase.)
 */
export function createErasureRequest(context: RpcContext) {
  const turns = new Map<string, Promise<unknown>>();
  return async (request: erasure.CreateErasureRequestRequest): Promise<Response> => {
    const [tenant] = parseName('tenant', request.parent);
    const before = turns.get(tenant) ?? Promise.resolve();
    const mine = before.then(() => create(context, tenant, request));
    turns.set(
      tenant,
      mine.catch(() => undefined),
    );
    return await mine;
  };
}

async function create(
  context: RpcContext,
  tenant: string,
  request: erasure.CreateErasureRequestRequest,
): Promise<Response> {
  checkRequest(request);
  const { gatherer, deps } = context;
  const id = erasureId(tenant, request.requestId);
  const name = resourceName('erasureRequest', tenant, id);
  const existing = await gatherer.saga(tenant, id);
  const subject = await resolve(context, request, existing);
  if (existing.requested) {
    checkRepeated(existing, request, subject?.alias);
    return { erasureRequest: await loadResource(context, name), opening: new Uint8Array() };
  }
  if (!subject) throw ERASURE.SUBJECT_UNKNOWN('the vault has no records of this subject');
  const { alias, datasets } = subject;
  const earlier = (await context.directory.ofTenant(tenant)).find(
    (listed) => listed.alias === alias && !listed.failed,
  );
  if (earlier) {
    const other = resourceName('erasureRequest', tenant, earlier.id);
    throw ERASURE.SUBJECT_REQUESTED_BEFORE(`the erasure of this subject has been requested as ${other}`, {
      details: { erasureRequest: other },
    });
  }
  const opening = request.opening.length > 0 ? request.opening : deps.random.bytes(OPENING_BYTES);
  const commitment = subjectCommitment(opening, alias, name);
  const { state } = await gatherer.sagas.propose(tenant, id, (saga) =>
    saga.requested
      ? []
      : [
          newEvent(EVENT.erasureRequested, {
            erasure: name,
            subjectAlias: alias,
            subjectCommitment: commitment,
            requestDigest: requestDigest(name),
            policy: request.policy,
            datasets: [...datasets],
            requestTime: new Date(deps.clock.nowMs()),
          }),
        ],
  );
  // Another process may have been first with the same request id: then its caller got the opening.
  const isOurs = state.requested?.data.subjectCommitment === commitment;
  return {
    erasureRequest: await loadResource(context, name),
    opening: isOurs ? opening : new Uint8Array(),
  };
}

function checkRequest(request: erasure.CreateErasureRequestRequest): void {
  const refuse = (field: string, why: string) =>
    ERASURE.REQUEST_MALFORMED(`${field} ${why}`, { details: { field } });
  if (!REQUEST_ID.test(request.requestId)) {
    throw refuse('request_id', 'must be 1 to 128 letters, digits, dots, hyphens or underscores');
  }
  if (!POLICY.test(request.policy)) {
    throw refuse('policy', 'must be 1 to 63 lower-case letters, digits, dots or hyphens');
  }
  if (request.opening.length !== 0 && request.opening.length !== OPENING_BYTES) {
    throw refuse('opening', `must be empty or have ${OPENING_BYTES} bytes`);
  }
  const bytes = Buffer.byteLength(request.subjectId);
  if (bytes === 0 || bytes > SUBJECT_ID_BYTES_MAX) {
    throw refuse('subject_id', `must have 1 to ${SUBJECT_ID_BYTES_MAX} bytes`);
  }
}

/** @returns undefined where the vault knows no such subject; an erased one may be unknown to it */
async function resolve(
  { deps }: RpcContext,
  { parent, subjectId }: erasure.CreateErasureRequestRequest,
  existing: Saga,
): Promise<{ alias: string; datasets: readonly string[] } | undefined> {
  try {
    return await deps.peers.vault.resolveSubject({ parent, subjectId });
  } catch (error) {
    if (!(error instanceof LetheError) || error.status !== 'NOT_FOUND') throw error;
    if (existing.requested) return undefined;
    throw ERASURE.SUBJECT_UNKNOWN('the vault has no records of this subject', { cause: error });
  }
}

/** One request id stands for one subject and one policy. */
function checkRepeated(
  existing: Saga,
  request: erasure.CreateErasureRequestRequest,
  alias: string | undefined,
): void {
  const data = existing.requested?.data;
  const isSame = data?.policy === request.policy && (alias === undefined || alias === data.subjectAlias);
  if (!isSame) {
    throw ERASURE.REQUEST_ID_TAKEN('this request_id stands for another subject or policy', {
      details: { erasureRequest: data?.erasure ?? '' },
    });
  }
}
