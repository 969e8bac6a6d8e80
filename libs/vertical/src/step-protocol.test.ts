import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError } from '@lethe/std';
import { VERTICAL } from './errors.ts';
import {
  type CoordinatorEffect,
  type CoordinatorEvent,
  type CoordinatorState,
  coordinateStep,
  followStep,
  type PartyEffect,
  type PartyEvent,
  type PartyState,
  type StepStart,
} from './step-protocol.ts';

const start: StepStart = {
  jobId: 'job',
  epoch: 0,
  step: 0,
  attempt: 1,
  alignmentVersion: 3,
  batchRoot: 'aa',
};
const own = { alignmentVersion: 3, batchRoot: 'aa' };
const parties = ['left', 'right'];

function coordinate(...events: readonly CoordinatorEvent[]) {
  let state: CoordinatorState = { phase: 'idle' };
  const effects: CoordinatorEffect['type'][] = [];
  for (const event of events) {
    const next = coordinateStep(state, event);
    state = next.state;
    effects.push(...next.effects.map(({ type }) => type));
  }
  return { state, effects };
}

function follow(...events: readonly PartyEvent[]) {
  let state: PartyState = { phase: 'waiting', stepsCommitted: 0 };
  const effects: PartyEffect[] = [];
  for (const event of events) {
    const next = followStep(state, event);
    state = next.state;
    effects.push(...next.effects);
  }
  return { state, effects, types: effects.map(({ type }) => type) };
}

const planned = { type: 'stepPlanned', start, parties } as const;
const codes = (party: string, of = start) => ({ type: 'codesArrived', party, start: of }) as const;
const ready = (party: string, of = start) => ({ type: 'updateReady', party, start: of }) as const;

test('a step: START, all codes, top, all ready, COMMIT; repeats change nothing', () => {
  const { state, effects } = coordinate(
    planned,
    codes('left'),
    codes('left'),
    codes('right'),
    codes('right'),
    ready('right'),
    ready('right'),
    ready('left'),
    ready('left'),
  );
  assert.deepEqual(effects, ['sendStart', 'trainTop', 'commit']);
  assert.deepEqual(state, { phase: 'idle' });
});

test('a party that fails in either phase aborts the step, and answers that come late change nothing', () => {
  const failed = { type: 'partyFailed', party: 'right', reason: 'deadline' } as const;
  assert.deepEqual(coordinate(planned, codes('left'), failed, codes('right')).effects, [
    'sendStart',
    'abort',
  ]);
  const late = coordinate(planned, codes('left'), codes('right'), ready('left'), failed, ready('right'));
  assert.deepEqual(late.effects, ['sendStart', 'trainTop', 'abort']);
});

test('an answer to an earlier attempt is not counted for this one', () => {
  const second = { ...start, attempt: 2 };
  const { effects } = coordinate({ ...planned, start: second }, codes('left', start), codes('right', second));
  assert.deepEqual(effects, ['sendStart']);
});

test('a stranger and a step inside a step are refused', () => {
  const refused = (error: unknown) => isError(error, VERTICAL.OUT_OF_STEP);
  assert.throws(() => coordinate(planned, planned), refused);
  assert.throws(() => coordinate(planned, codes('stranger')), refused);
});

test('a party switches parameters on COMMIT only, and once', () => {
  const events = [
    { type: 'startReceived', start, own },
    { type: 'commitReceived', start },
    { type: 'gradientsReceived', start },
    { type: 'gradientsReceived', start },
    { type: 'commitReceived', start },
    { type: 'commitReceived', start },
    { type: 'startReceived', start, own },
  ] as const;
  const { state, types } = follow(...events);
  assert.deepEqual(types, ['sendCodes', 'applyGradients', 'switchParameters']);
  assert.equal(state.stepsCommitted, 1);
});

test('after ABORT, or a START of the next attempt, the prepared update is forgotten', () => {
  const aborted = follow(
    { type: 'startReceived', start, own },
    { type: 'gradientsReceived', start },
    { type: 'abortReceived', start },
    { type: 'commitReceived', start },
  );
  assert.deepEqual(aborted.types, ['sendCodes', 'applyGradients', 'discardUpdate']);
  const again = { ...start, attempt: 2 };
  const repeated = follow(
    { type: 'startReceived', start, own },
    { type: 'gradientsReceived', start },
    { type: 'startReceived', start: again, own },
    { type: 'commitReceived', start },
  );
  assert.deepEqual(repeated.types, ['sendCodes', 'applyGradients', 'discardUpdate', 'sendCodes']);
  assert.equal(repeated.state.stepsCommitted, 0);
});

test('another batch, another alignment version or another step count: no code leaves the party', () => {
  for (const [other, code] of [
    [{ start: { ...start, batchRoot: 'bb' }, own }, VERTICAL.MISALIGNED],
    [{ start, own: { ...own, alignmentVersion: 4 } }, VERTICAL.MISALIGNED],
    [{ start: { ...start, step: 5 }, own }, VERTICAL.OUT_OF_STEP],
  ] as const) {
    const { effects } = follow({ type: 'startReceived', ...other });
    assert.equal(effects.length, 1);
    assert.ok(effects[0]!.type === 'refuse' && effects[0]!.code === code.spec.code);
  }
});
