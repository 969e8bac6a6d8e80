/** An attack check as the fold of its events, and what may be asked for. Pure. */
import { EVENT, type events, hashing } from '@lethe/contracts';
import { defineAggregate, newEvent } from '@lethe/events';
import { equalBytes } from '@lethe/std';
import { HASHING_SERVICE } from '../errors.ts';

export interface CheckAggregate {
  readonly spec: hashing.HashCheckSpec | undefined;
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
    completed: undefined,
    failure: undefined,
    changedMs: 0,
  }),
  fold: (state, event): CheckAggregate => {
    const changedMs = event.timeMs;
    switch (event.type) {
      case 'hash.check.requested':
        return { ...state, changedMs, spec: event.data.spec };
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

/** @throws LETHE-4230 the check exists with another specification */
export function requestCheck(
  state: CheckAggregate,
  name: string,
  spec: hashing.HashCheckSpec,
  eventId: string | undefined,
) {
  if (!state.spec) return [newEvent(EVENT.hashCheckRequested, { check: name, spec }, eventId)];
  if (equalBytes(bytesOf(state.spec), bytesOf(spec))) return [];
  throw HASHING_SERVICE.CHECK_EXISTS('the check exists with another specification', {
    details: { check: name },
  });
}
