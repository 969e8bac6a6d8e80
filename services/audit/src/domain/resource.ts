import { audit, common } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { assert } from '@lethe/std';
import type { AuditState } from './audit.ts';

const { Audit_State: State } = audit;
const { CONDITION_STATUS_TRUE: TRUE, CONDITION_STATUS_FALSE: FALSE } = common.ConditionStatus;

export type AuditResource = Partially<audit.Audit>;

export const isFinal = ({ state }: AuditResource): boolean =>
  state === State.STATE_COMPLETED || state === State.STATE_FAILED;

/** @param progress of work in this process; an audit at rest shows none */
export function toResource(
  state: AuditState,
  progress: common.Progress | undefined,
  result: Uint8Array,
): AuditResource {
  const { created, registered } = state;
  assert(created, 'a resource exists from its creation on');
  return {
    name: created.data.audit,
    spec: created.data.spec,
    state: stateOf(state),
    conditions: conditions(state),
    progress,
    coinKeyHash: registered?.data.coinKeyHash ?? '',
    ruleDigest: registered?.data.ruleDigest ?? '',
    result,
    createTime: new Date(created.timeMs),
  };
}

function stateOf({ registered, released, completed }: AuditState): audit.Audit_State {
  if (completed) return registered ? State.STATE_COMPLETED : State.STATE_FAILED;
  if (released) return State.STATE_RUNNING;
  return registered ? State.STATE_REGISTERED : State.STATE_REGISTERING;
}

function conditions({ registered, completed }: AuditState): common.Condition[] {
  const out: common.Condition[] = [];
  const add = (type: string, holds: boolean, reason: string, message: string, timeMs: number): void => {
    const status = holds ? TRUE : FALSE;
    out.push({ type, status, reason, message, lastTransitionTime: new Date(timeMs) });
  };
  if (registered) {
    const { outCount, keepCount, deleteCount } = registered.data;
    const message = `${outCount} OUT, ${keepCount} KEEP, ${deleteCount} DELETE.`;
    add('Registered', true, 'CanariesIngested', message, registered.timeMs);
  }
  if (completed) {
    const { verdict, canaryKeyDestroyed } = completed.data;
    add('Completed', true, 'Verdict', `The audit says ${verdict}.`, completed.timeMs);
    const message = canaryKeyDestroyed
      ? "The audit's own copies cannot be read any more."
      : 'The key of the own copies is about to be destroyed.';
    add('OwnCopiesDestroyed', canaryKeyDestroyed, 'SeedKey', message, completed.timeMs);
  }
  return out;
}
