import { common, hashing } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import type { HashingContext } from './context.ts';
import type { Address, Existing } from './functions.ts';

/** A function as callers see it. */
export async function resource(
  { functions, progress }: HashingContext,
  address: Address,
): Promise<Partially<hashing.HashFunction>> {
  const state = await functions.load(address);
  const { current, lastLearned } = state;
  const now = progress.get(address.name);
  return {
    name: address.name,
    spec: state.spec,
    state: stateOf(state),
    conditions: conditions(state),
    ...(state.pending && now ? { progress: now } : {}),
    updateTime: new Date(state.changedMs),
    ...(current && {
      version: current.version,
      learnedRoot: current.root,
      weightsDigest: current.weightsDigest,
      sumsDigest: current.sumsDigest,
      ledgerRoot: current.ledgerRoot,
      itemCount: current.itemCount,
      classes: current.classes,
    }),
    ...(lastLearned && {
      oldCodesRootBefore: lastLearned.oldCodesRootBefore,
      oldCodesRootAfter: lastLearned.oldCodesRootAfter,
      statisticsMs: lastLearned.statisticsMs,
      solveMs: lastLearned.solveMs,
    }),
  };
}

function stateOf({ current, pending }: Existing): hashing.HashFunction_State {
  const { STATE_SERVING, STATE_LEARNING, STATE_FAILED } = hashing.HashFunction_State;
  if (current) return STATE_SERVING;
  return pending ? STATE_LEARNING : STATE_FAILED;
}

function conditions({ pending, failure, changedMs }: Existing): common.Condition[] {
  const { CONDITION_STATUS_TRUE, CONDITION_STATUS_FALSE } = common.ConditionStatus;
  const lastTransitionTime = new Date(changedMs);
  if (pending) {
    const message = `learns from ${pending.root}`;
    return [
      {
        type: 'Learning',
        status: CONDITION_STATUS_TRUE,
        reason: 'RootRequested',
        message,
        lastTransitionTime,
      },
    ];
  }
  const reason = failure ? 'Failed' : 'UpToDate';
  const message = failure ? failure.message : '';
  return [{ type: 'Learning', status: CONDITION_STATUS_FALSE, reason, message, lastTransitionTime }];
}
