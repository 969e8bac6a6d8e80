/** An erasure as its resource: what a caller sees of the saga and of what the owners have said. */
import { common, erasure } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { assert } from '@lethe/std';
import { claimsOf } from './claims.ts';
import type { Phase, Saga } from './erasure.ts';
import { CONTAINERS, type Facts, OWNERS } from './facts.ts';
import { hasContained } from './policies.ts';

const { ErasureRequest_State: State } = erasure;
const { CONDITION_STATUS_TRUE: TRUE, CONDITION_STATUS_FALSE: FALSE } = common.ConditionStatus;

const STATES: Readonly<Record<Exclude<Phase, 'ended'>, erasure.ErasureRequest_State>> = {
  absent: State.STATE_UNSPECIFIED,
  requested: State.STATE_REQUESTED,
  contained: State.STATE_CONTAINED,
  started: State.STATE_ERASING,
  confirmed: State.STATE_ERASING,
  erased: State.STATE_AUDITING,
};

const ENDINGS = {
  certified: State.STATE_CERTIFIED,
  partial: State.STATE_PARTIAL,
  failed: State.STATE_FAILED,
} as const;

const PHRASES: Readonly<Record<Phase, string>> = {
  absent: '',
  requested: 'waiting for owners to contain',
  contained: 'fixing the batch and its seed',
  started: 'owners erase',
  confirmed: 'keys are destroyed, stores scanned',
  erased: 'auditing and certifying',
  ended: 'ended',
};

export type ErasureResource = Partially<erasure.ErasureRequest>;

export const isFinal = ({ state }: ErasureResource): boolean =>
  state === State.STATE_CERTIFIED || state === State.STATE_PARTIAL || state === State.STATE_FAILED;

export function toResource(saga: Saga, facts: Facts): ErasureResource {
  const { requested, contained, ending, phase } = saga;
  assert(requested, 'a resource exists from its request on');
  const issued = ending && ending.state !== 'failed' ? ending.data : undefined;
  return {
    name: requested.data.erasure,
    state: ending ? ENDINGS[ending.state] : STATES[phase === 'ended' ? 'absent' : phase],
    conditions: conditions(saga, facts),
    progress: progress(saga, facts),
    requestTime: new Date(requested.timeMs),
    containTime: contained && new Date(contained.timeMs),
    completeTime: ending && new Date(ending.timeMs),
    claims: [...claimsOf(facts)],
    certificateDigest: issued?.certificateDigest ?? '',
    auditVerdict: facts.audit.completed?.data.verdict ?? '',
    residualBytes: facts.vault.destroyed?.data.residualBytes ?? 0n,
    subjectCommitment: requested.data.subjectCommitment,
  };
}

/** One step per confirmation that is awaited, and one for the certificate. */
function progress(saga: Saga, facts: Facts): common.Progress {
  const owners = saga.started?.data.owners ?? [];
  const steps = [
    ...CONTAINERS.map((container) => hasContained(facts, container)),
    ...OWNERS.filter((owner) => owners.includes(owner)).map(
      (owner) => facts.owners[owner].erased !== undefined,
    ),
    facts.vault.destroyed !== undefined,
    ...(saga.started?.data.audit ? [facts.audit.completed !== undefined] : []),
    saga.ending !== undefined && saga.ending.state !== 'failed',
  ];
  return {
    done: BigInt(steps.filter(Boolean).length),
    total: BigInt(steps.length),
    phase: PHRASES[saga.phase],
  };
}

function conditions(saga: Saga, facts: Facts): common.Condition[] {
  const { contained, confirmed, erased, ending } = saga;
  const { destroyed } = facts.vault;
  const { completed } = facts.audit;
  const out: common.Condition[] = [];
  const add = (type: string, holds: boolean, reason: string, message: string, timeMs: number): void => {
    const status = holds ? TRUE : FALSE;
    out.push({ type, status, reason, message, lastTransitionTime: new Date(timeMs) });
  };
  if (contained)
    add('Contained', true, 'AllOwners', 'No owner serves the subject any more.', contained.timeMs);
  if (confirmed) {
    const late = confirmed.data.missingOwners;
    const message = late.length === 0 ? 'Every owner has erased.' : `In time without ${late.join(', ')}.`;
    add(
      'OwnersConfirmed',
      late.length === 0,
      late.length === 0 ? 'AllOwners' : 'Deadline',
      message,
      confirmed.timeMs,
    );
  }
  if (destroyed) {
    const residual = destroyed.data.residualBytes;
    const message =
      residual === 0n ? 'Keys are destroyed; the scan found nothing.' : `The scan found ${residual} bytes.`;
    add('KeysDestroyed', true, residual === 0n ? 'ScanClean' : 'ScanFound', message, destroyed.timeMs);
  }
  if (erased) add('Erased', true, 'AllParts', 'Every part has confirmed.', erased.timeMs);
  if (completed) {
    const { verdict } = completed.data;
    add('Audited', verdict === 'PASS', 'Verdict', `The audit says ${verdict}.`, completed.timeMs);
  }
  if (ending?.state === 'certified') {
    add('Certified', true, 'Complete', 'The certificate is issued.', ending.timeMs);
  } else if (ending?.state === 'partial') {
    const how = ending.data.certificate ? 'A partial certificate is issued' : 'No certificate is issued';
    add('Certified', false, 'Partial', `${how}; missing: ${ending.data.missing.join('; ')}.`, ending.timeMs);
  } else if (ending?.state === 'failed') {
    add('Certified', false, 'Failed', `[${ending.data.code}] ${ending.data.message}`, ending.timeMs);
  }
  return out;
}
