/**
 * One training step as two pure state machines: the coordinator's and a party's. Nothing waits here, reads a clock or sends; the shell performs the effects and feeds
 * back what happened. Order of a step: START, codes, gradients, update ready, COMMIT. Parameters switch on COMMIT only, at every place; until then a
 * failure of anyone ends in ABORT, which leaves no trace, and the step may be planned again under the next attempt.
 *
 * START names the version of the alignment list and the root of the batch's rows. A party that computes another root refuses before any code
 * leaves it, so rows can never be misaligned silently, and no step can use a row that a party holds a tombstone for.
 *
 * A party that was lost between its "ready" and the COMMIT says on rejoining how many steps it has committed; all then restore the last checkpoint
 * that all of them have (`Checkpoint.stepsCommitted`), because steps replay bit for bit.
 */
import { VERTICAL } from './errors.ts';

/** What START says; it identifies an attempt at a step. */
export interface StepStart {
  readonly jobId: string;
  readonly epoch: number;
  /** Number of steps committed before this one. */
  readonly step: number;
  /** 1 for the first try of the step. */
  readonly attempt: number;
  readonly alignmentVersion: number;
  /** `batchRoot` of the batch, in hex. */
  readonly batchRoot: string;
}

export type CoordinatorState =
  | { readonly phase: 'idle' }
  | {
      readonly phase: 'collectingCodes' | 'awaitingUpdates';
      readonly start: StepStart;
      readonly parties: readonly string[];
      /** Parties that have answered in this phase. */
      readonly answered: readonly string[];
    };

export type CoordinatorEvent =
  | { readonly type: 'stepPlanned'; readonly start: StepStart; readonly parties: readonly string[] }
  | { readonly type: 'codesArrived' | 'updateReady'; readonly party: string; readonly start: StepStart }
  /** The party refused, left, or passed its deadline. */
  | { readonly type: 'partyFailed'; readonly party: string; readonly reason: string };

export type CoordinatorEffect =
  | { readonly type: 'sendStart'; readonly start: StepStart; readonly parties: readonly string[] }
  /** All codes are in: run the top network's step and send each party its gradients. */
  | { readonly type: 'trainTop'; readonly start: StepStart }
  /** Everyone is ready: switch the top network's parameters, record the step, tell the parties. */
  | { readonly type: 'commit'; readonly start: StepStart; readonly parties: readonly string[] }
  /** Discard the top network's prepared update and tell the parties. */
  | {
      readonly type: 'abort';
      readonly start: StepStart;
      readonly parties: readonly string[];
      readonly reason: string;
    };

export interface Transition<State, Effect> {
  readonly state: State;
  readonly effects: readonly Effect[];
}

/** @throws LETHE-3505 a step is planned inside a step, or a party answers that takes no part */
export function coordinateStep(
  state: CoordinatorState,
  event: CoordinatorEvent,
): Transition<CoordinatorState, CoordinatorEffect> {
  if (event.type === 'stepPlanned') {
    if (state.phase !== 'idle') throw VERTICAL.OUT_OF_STEP('a step is under way');
    const { start, parties } = event;
    return {
      state: { phase: 'collectingCodes', start, parties, answered: [] },
      effects: [{ type: 'sendStart', start, parties }],
    };
  }
  // An answer to an attempt that is over: its sender will learn of the abort, nothing changes here.
  if (state.phase === 'idle') return { state, effects: [] };
  const { start, parties } = state;
  if (!parties.includes(event.party))
    throw VERTICAL.OUT_OF_STEP('a party answered that takes no part in the step');
  if (event.type === 'partyFailed') {
    return { state: { phase: 'idle' }, effects: [{ type: 'abort', start, parties, reason: event.reason }] };
  }
  const expected = state.phase === 'collectingCodes' ? 'codesArrived' : 'updateReady';
  if (!sameAttempt(event.start, start) || event.type !== expected || state.answered.includes(event.party)) {
    return { state, effects: [] };
  }
  const answered = [...state.answered, event.party];
  if (answered.length < parties.length) return { state: { ...state, answered }, effects: [] };
  return state.phase === 'collectingCodes'
    ? {
        state: { phase: 'awaitingUpdates', start, parties, answered: [] },
        effects: [{ type: 'trainTop', start }],
      }
    : { state: { phase: 'idle' }, effects: [{ type: 'commit', start, parties }] };
}

export interface PartyState {
  readonly phase: 'waiting' | 'codesSent' | 'updatePrepared';
  /** The attempt under way; the last one while waiting. */
  readonly start?: StepStart;
  readonly stepsCommitted: number;
}

export type PartyEvent =
  /** @property own what this party computes for the same job, epoch and step from its own list */
  | {
      readonly type: 'startReceived';
      readonly start: StepStart;
      readonly own: Pick<StepStart, 'alignmentVersion' | 'batchRoot'>;
    }
  | { readonly type: 'gradientsReceived' | 'commitReceived' | 'abortReceived'; readonly start: StepStart };

export type PartyEffect =
  | { readonly type: 'sendCodes'; readonly start: StepStart }
  /** Send nothing of the batch; tell the coordinator why. `code` is that of the error. */
  | { readonly type: 'refuse'; readonly start: StepStart; readonly code: string; readonly reason: string }
  /** Prepare the update, then report ready. */
  | { readonly type: 'applyGradients'; readonly start: StepStart }
  | { readonly type: 'switchParameters'; readonly start: StepStart }
  | { readonly type: 'discardUpdate' };

/** A message that belongs to no attempt under way changes nothing: delivery may repeat and reorder. */
export function followStep(state: PartyState, event: PartyEvent): Transition<PartyState, PartyEffect> {
  if (event.type === 'startReceived') return followStart(state, event.start, event.own);
  if (state.start === undefined || !sameAttempt(event.start, state.start)) return { state, effects: [] };
  const { start, stepsCommitted } = state;
  if (event.type === 'abortReceived' && state.phase !== 'waiting') {
    return { state: { phase: 'waiting', start, stepsCommitted }, effects: [{ type: 'discardUpdate' }] };
  }
  if (event.type === 'gradientsReceived' && state.phase === 'codesSent') {
    return {
      state: { phase: 'updatePrepared', start, stepsCommitted },
      effects: [{ type: 'applyGradients', start }],
    };
  }
  if (event.type === 'commitReceived' && state.phase === 'updatePrepared') {
    return {
      state: { phase: 'waiting', start, stepsCommitted: stepsCommitted + 1 },
      effects: [{ type: 'switchParameters', start }],
    };
  }
  return { state, effects: [] };
}

function followStart(
  state: PartyState,
  start: StepStart,
  own: Pick<StepStart, 'alignmentVersion' | 'batchRoot'>,
): Transition<PartyState, PartyEffect> {
  const known = state.start;
  const old = known !== undefined && known.jobId === start.jobId && !isNewer(start, known);
  if (old) return { state, effects: [] };
  const discard: readonly PartyEffect[] = state.phase === 'waiting' ? [] : [{ type: 'discardUpdate' }];
  const refuse = (
    error: { readonly spec: { readonly code: string } },
    reason: string,
  ): Transition<PartyState, PartyEffect> => ({
    state: { ...state, phase: 'waiting' },
    effects: [...discard, { type: 'refuse', start, code: error.spec.code, reason }],
  });
  if (start.step !== state.stepsCommitted) {
    return refuse(
      VERTICAL.OUT_OF_STEP,
      `START is for step ${start.step}, ${state.stepsCommitted} are committed here`,
    );
  }
  if (start.alignmentVersion !== own.alignmentVersion) {
    return refuse(
      VERTICAL.MISALIGNED,
      `START has alignment ${start.alignmentVersion}, here it is ${own.alignmentVersion}`,
    );
  }
  if (start.batchRoot !== own.batchRoot)
    return refuse(VERTICAL.MISALIGNED, 'START has another batch than this party');
  return {
    state: { phase: 'codesSent', start, stepsCommitted: state.stepsCommitted },
    effects: [...discard, { type: 'sendCodes', start }],
  };
}

const isNewer = (start: StepStart, known: StepStart): boolean =>
  start.step > known.step || (start.step === known.step && start.attempt > known.attempt);

const sameAttempt = (a: StepStart, b: StepStart): boolean =>
  a.jobId === b.jobId && a.step === b.step && a.attempt === b.attempt && a.batchRoot === b.batchRoot;
