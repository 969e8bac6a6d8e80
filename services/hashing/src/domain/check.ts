/** An attack check as the fold of its events, and what may be asked for. Pure. */
import { EVENT, type events, hashing } from '@lethe/contracts';
import { defineAggregate, newEvent } from '@lethe/events';
import { equalBytes } from '@lethe/std';
import { HASHING_SERVICE } from '../errors.ts';

export interface CheckAggregate {
  readonly spec: hashing.HashCheckSpec | undefined;
  /** The platform asked, and not an auditor: it may change who answers. */
  readonly byPlatform: boolean;
  readonly completed: events.HashCheckCompleted | undefined;
  readonly failure: { readonly code: string; readonly message: string } | undefined;
  /** Time of the last event, milliseconds since 1970. */
  readonly changedMs: number;
}

export const hashCheck = defineAggregate({
  type: 'hash-check',
  events: [EVENT.hashCheckRequested, EVENT.hashCheckCompleted, EVENT.hashCheckFailed],
  initial: (): CheckAggregate => ({
    spec: undefined,
    byPlatform: false,
    completed: undefined,
    failure: undefined,
    changedMs: 0,
  }),
  fold: (state, event): CheckAggregate => {
    const changedMs = event.timeMs;
    switch (event.type) {
      case 'hash.check.requested':
        return { ...state, changedMs, spec: event.data.spec, byPlatform: event.data.byPlatform };
      case 'hash.check.completed':
        return { ...state, changedMs, completed: event.data };
      case 'hash.check.failed':
        return { ...state, changedMs, failure: { code: event.data.code, message: event.data.message } };
    }
  },
});

export const isSettled = ({ completed, failure }: CheckAggregate): boolean =>
  completed !== undefined || failure !== undefined;

const bytesOf = (spec: hashing.HashCheckSpec): Uint8Array => hashing.HashCheckSpec.encode(spec).finish();

/**
 * A check that an auditor asked for stays an auditor's: the platform, which would take its quarantine for granted, is refused.
 * @throws LETHE-4230 the check exists with another specification, or an auditor has asked for it
 */
export function requestCheck(
  state: CheckAggregate,
  name: string,
  spec: hashing.HashCheckSpec,
  byPlatform: boolean,
  eventId: string | undefined,
) {
  const exists = (why: string) =>
    HASHING_SERVICE.CHECK_EXISTS(`the check exists: ${why}`, { details: { check: name } });
  if (!state.spec) return [newEvent(EVENT.hashCheckRequested, { check: name, spec, byPlatform }, eventId)];
  if (!equalBytes(bytesOf(state.spec), bytesOf(spec))) throw exists('with another specification');
  if (byPlatform && !state.byPlatform) throw exists('an auditor has asked for it');
  return [];
}
