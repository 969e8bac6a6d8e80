/**
 * The saga: from what has happened, the one next thing. Pure, and a function of facts alone (not of the event that woke it),
 * so a redelivery, a restart or another order of arrival comes to the same end.
 */
import { EVENT, type events } from '@lethe/contracts';
import { type EventDefinition, effectId, type NewEvent, type NewEventOf, newEvent } from '@lethe/events';
import { assert, hex, sha256 } from '@lethe/std';
import { ERASURE } from '../errors.ts';
import type { erasureAggregate, Saga } from './erasure.ts';
import { OWNERS } from './facts.ts';
import {
  firstObstacle,
  MAY_CALL_ERASED,
  MAY_CERTIFY,
  MAY_CONFIRM,
  MAY_CONTAIN,
  MAY_START,
  type Obstacle,
  type Policy,
  type Situation,
} from './policies.ts';

export type SagaEvent = NewEventOf<(typeof erasureAggregate.events)[number]>;

export type Decision =
  | { readonly kind: 'commit'; readonly event: SagaEvent }
  /** Everything is there: assemble, log, sign and store. `missing`: what the certificate has to do without. */
  | { readonly kind: 'certify'; readonly missing: readonly string[] }
  | { readonly kind: 'wait'; readonly obstacle: Obstacle; readonly untilMs: number }
  | { readonly kind: 'nothing' };

/** How long each step may take, milliseconds. */
export interface Deadlines {
  /** From the request until every owner has contained; then the request fails. */
  readonly containMs: number;
  /** From the start until the keys are destroyed even if an owner has not confirmed. */
  readonly confirmMs: number;
  /** From the start until the request ends as partial. */
  readonly eraseMs: number;
  /** From the erasure until the certificate is issued without the audit. */
  readonly auditMs: number;
}

export interface Now {
  readonly nowMs: number;
  /**
   * When this process started. A deadline never runs out while nobody was there to act on it: after a stop of the platform
   * every owner gets the time that it would have had.
   */
  readonly sinceMs: number;
}

/** Seeds of everything that is retrained. @param requestRoot hex @returns hex */
export const retrainingSeed = (requestRoot: string, erasure: string): string =>
  hex(sha256(`lethe-unlearn-v1|${requestRoot}|${erasure}`));

export function decide(situation: Situation, deadlines: Deadlines, now: Now): Decision {
  const { saga } = situation;
  switch (saga.phase) {
    case 'absent':
    case 'ended':
      return { kind: 'nothing' };
    case 'requested':
      return step(situation, MAY_CONTAIN, {
        untilMs: dueMs(saga.requested?.timeMs, deadlines.containMs, now),
        now,
        proceed: () => commit(emit(saga, EVENT.erasureContained, { erasure: nameOf(saga) })),
        late: ({ missing }) =>
          commit(
            emit(saga, EVENT.erasureFailed, {
              erasure: nameOf(saga),
              code: ERASURE.OWNERS_SILENT.spec.code,
              message: `not contained in time by ${missing.join(', ')}`,
            }),
          ),
      });
    case 'contained':
      return step(situation, MAY_START, {
        untilMs: Number.POSITIVE_INFINITY,
        now,
        proceed: () => start(situation, now.nowMs + deadlines.confirmMs),
        late: () => ({ kind: 'nothing' }),
      });
    case 'started': {
      const confirm = (missingOwners: readonly string[]): Decision =>
        commit(
          emit(saga, EVENT.erasureOwnersConfirmed, {
            erasure: nameOf(saga),
            missingOwners: [...missingOwners],
          }),
        );
      return step(situation, MAY_CONFIRM, {
        untilMs: Math.max(saga.started?.data.deadline?.getTime() ?? 0, now.sinceMs + deadlines.confirmMs),
        now,
        proceed: () => confirm([]),
        late: ({ missing }) => confirm(missing),
      });
    }
    case 'confirmed':
      return step(situation, MAY_CALL_ERASED, {
        untilMs: dueMs(saga.started?.timeMs, deadlines.eraseMs, now),
        now,
        proceed: () =>
          commit(
            emit(saga, EVENT.erasureErased, {
              erasure: nameOf(saga),
              audit: saga.started?.data.audit ?? '',
            }),
          ),
        late: ({ missing }) => commit(emit(saga, EVENT.erasurePartial, partial(saga, missing))),
      });
    case 'erased':
      if (situation.unreadable.length > 0)
        return commit(emit(saga, EVENT.erasurePartial, partial(saga, situation.unreadable)));
      return step(situation, MAY_CERTIFY, {
        untilMs: dueMs(saga.erased?.timeMs, deadlines.auditMs, now),
        now,
        proceed: () => ({ kind: 'certify', missing: [] }),
        late: (obstacle) =>
          obstacle.reason === 'AuditNotCompleted' && situation.unlogged.length === 0
            ? { kind: 'certify', missing: obstacle.missing }
            : commit(
                emit(saga, EVENT.erasurePartial, partial(saga, [...obstacle.missing, ...situation.unlogged])),
              ),
      });
  }
}

function step(
  situation: Situation,
  chain: readonly Policy[],
  to: {
    readonly untilMs: number;
    readonly now: Now;
    readonly proceed: () => Decision;
    readonly late: (obstacle: Obstacle) => Decision;
  },
): Decision {
  const obstacle = firstObstacle(chain, situation);
  if (!obstacle) return to.proceed();
  return to.now.nowMs >= to.untilMs ? to.late(obstacle) : { kind: 'wait', obstacle, untilMs: to.untilMs };
}

const dueMs = (fromMs: number | undefined, withinMs: number, now: Now): number =>
  Math.max(fromMs ?? 0, now.sinceMs) + withinMs;

function nameOf(saga: Saga): string {
  assert(saga.requested, 'a saga that is decided on has been requested');
  return saga.requested.data.erasure;
}

/** Every event follows from the request, so proposing one again has no second effect. */
function emit<Type extends string, Data>(
  saga: Saga,
  definition: EventDefinition<Type, Data>,
  data: Data,
): NewEvent<Type, Data> {
  assert(saga.requested, 'a saga that is decided on has been requested');
  return newEvent(definition, data, effectId(saga.requested.id, definition.type));
}

const commit = (event: SagaEvent): Decision => ({ kind: 'commit', event });

function start({ saga, facts, requestRoot }: Situation, deadlineMs: number): Decision {
  assert(saga.requested && requestRoot !== undefined, 'an erasure starts after its request is in the log');
  const { data } = saga.requested;
  const started: events.ErasureStarted = {
    erasure: data.erasure,
    subjects: [data.subjectAlias],
    cohort: facts.auditPart.contained?.data.cohort ?? [],
    seed: retrainingSeed(requestRoot, idOf(data.erasure)),
    // All of them: one that had nothing of the person when it contained may have learned from a record that was being read then.
    owners: [...OWNERS],
    audit: facts.auditPart.contained?.data.audit ?? '',
    deadline: new Date(deadlineMs),
    datasets: [...new Set([...data.datasets, ...(facts.vault.contained?.data.artefacts ?? [])])].sort(),
  };
  return commit(emit(saga, EVENT.erasureStarted, started));
}

const idOf = (name: string): string => name.slice(name.lastIndexOf('/') + 1);

/** Ended without a certificate: evidence is missing that no certificate can do without. */
export const partial = (saga: Saga, missing: readonly string[]): events.ErasurePartial => ({
  erasure: nameOf(saga),
  missing: [...missing],
  certificateDigest: '',
  certificate: undefined,
  logIndex: 0n,
  auditVerdict: '',
});
