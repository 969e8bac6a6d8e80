import { checkId, common, hashing, parseName, resourceName, tenantOf } from '@lethe/contracts';
import type { Identity, Partially } from '@lethe/rpc';
import { datasetOfRoot, watch } from '@lethe/service';
import { decodeIds, isKind, partOf } from '../checks.ts';
import { excludedOf, functionAddress, type HashingContext, servingOf } from '../context.ts';
import { type CheckAggregate, isSettled, requestCheck } from '../domain/check.ts';
import { HASHING_SERVICE } from '../errors.ts';
import { requestEventId } from './request-event-id.ts';

const invalid = (why: string, field: string) => HASHING_SERVICE.REQUEST_INVALID(why, { details: { field } });

/**
 * Asks for a check; again with the same specification it changes nothing. What an auditor's check flags is never held.
 * @throws LETHE-4201, LETHE-4203, LETHE-4207, LETHE-4230
 */
export async function createHashCheck(
  context: HashingContext,
  request: hashing.CreateHashCheckRequest,
  { role }: Identity,
): Promise<Partially<hashing.HashCheck>> {
  const [tenant] = parseName('tenant', request.parent);
  const id = checkId(request.checkId, 'check_id');
  const { spec } = request;
  if (!spec) throw invalid('spec is missing', 'spec');
  await checkSpec(context, tenant, spec);
  const name = resourceName('hashCheck', tenant, id);
  const eventId = requestEventId(name, request.requestId);
  await context.checks.aggregates.propose(tenant, id, (state) =>
    requestCheck(state, name, spec, role === 'platform', eventId),
  );
  return await checkResource(context, name);
}

/** Everything that would make the check fail and can be seen now. */
async function checkSpec(
  context: HashingContext,
  tenant: string,
  spec: hashing.HashCheckSpec,
): Promise<void> {
  if (tenantOf(spec.function) !== tenant)
    throw invalid('the function lies in another tenant', 'spec.function');
  const { spec: declared } = await context.functions.load(functionAddress(spec.function));
  if (!isKind(spec.kind)) throw invalid('is no kind of check', 'spec.kind');
  if (!(spec.falseAlarms >= 0 && spec.falseAlarms < 1)) throw invalid('must be below 1', 'spec.false_alarms');
  if (spec.epsilon > 255) throw invalid('must be 1 to 255', 'spec.epsilon');
  if (spec.root !== '' && datasetOfRoot(spec.root) !== datasetOfRoot(declared.root))
    throw invalid('the root belongs to another dataset', 'spec.root');
  partOf((await servingOf(context, spec.function)).learned, spec);
}

/** A check as platform and auditors see it, with the flagged items that are still there. @throws LETHE-4231 */
export async function checkResource(
  context: HashingContext,
  name: string,
): Promise<Partially<hashing.HashCheck>> {
  const [tenant, id] = parseName('hashCheck', name);
  const { state } = await context.checks.aggregates.load(tenant, id!);
  const { spec, completed, changedMs } = state;
  if (!spec) throw HASHING_SERVICE.CHECK_UNKNOWN('there is no such check', { details: { check: name } });
  return {
    name,
    spec,
    state: stateOf(state),
    conditions: conditions(state),
    result: completed?.result,
    updateTime: new Date(changedMs),
    flaggedItemIds: await flaggedOf(context, tenant, spec, state),
  };
}

/** Empty when the list has been destroyed: an erasure has come. Whoever is contained is left out at once. */
async function flaggedOf(
  context: HashingContext,
  tenant: string,
  spec: hashing.HashCheckSpec,
  { completed }: CheckAggregate,
): Promise<Uint8Array[]> {
  const { functions, logger } = context;
  if (!completed?.flagged) return [];
  let ids: Uint8Array[];
  try {
    ids = decodeIds(await functions.sealed.get(tenant, completed.flagged));
  } catch (error) {
    logger.info('a list of flagged items is not there any more', { check: completed.check, error });
    return [];
  }
  const { learned } = await servingOf(context, spec.function);
  const contained = excludedOf(context, spec.function).excludedOwners;
  const live: Uint8Array[] = [];
  for (const id of ids) {
    const entry = learned.index.entry(id);
    if (entry.kind === 'live' && !contained?.has(entry.owner)) live.push(id);
  }
  return live;
}

function stateOf(state: CheckAggregate): hashing.HashCheck_State {
  const { STATE_RUNNING, STATE_COMPLETED, STATE_FAILED } = hashing.HashCheck_State;
  if (state.failure) return STATE_FAILED;
  return isSettled(state) ? STATE_COMPLETED : STATE_RUNNING;
}

function conditions({ failure, completed, changedMs }: CheckAggregate): common.Condition[] {
  const { CONDITION_STATUS_TRUE, CONDITION_STATUS_FALSE } = common.ConditionStatus;
  const running = !failure && !completed;
  return [
    {
      type: 'Running',
      status: running ? CONDITION_STATUS_TRUE : CONDITION_STATUS_FALSE,
      reason: failure ? 'Failed' : running ? 'Requested' : 'Completed',
      message: failure ? failure.message : '',
      lastTransitionTime: new Date(changedMs),
    },
  ];
}

/** The states of a check until it has a result or has failed. */
export const watchHashCheck = (context: HashingContext, name: string, signal: AbortSignal) =>
  watch({
    load: () => checkResource(context, name),
    isFinal: ({ state }) => state !== hashing.HashCheck_State.STATE_RUNNING,
    signal,
  });
