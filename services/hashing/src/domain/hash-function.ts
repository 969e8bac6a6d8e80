/** A hash function as the fold of its events, and what may be asked of it. Pure. */
import { EVENT, type events, hashing, parseName } from '@lethe/contracts';
import { defineAggregate, newEvent } from '@lethe/events';
import { equalBytes } from '@lethe/std';
import { HASHING_SERVICE } from '../errors.ts';

/** Without an empty list of modalities: a function of release 0.1 folds to what that release has made of it. */
export type KeptSpec = Omit<hashing.HashFunctionSpec, 'modalities'> &
  Partial<Pick<hashing.HashFunctionSpec, 'modalities'>>;

type Mode = hashing.PromoteHashVersionRequest_Mode;
const { MODE_UNSPECIFIED, MODE_FORCE, MODE_FAN_OUT } = hashing.PromoteHashVersionRequest_Mode;

function kept({ modalities, ...rest }: hashing.HashFunctionSpec): KeptSpec {
  return modalities.length > 0 ? { ...rest, modalities } : rest;
}

export interface HashFunctionAggregate {
  readonly spec: KeptSpec | undefined;
  /** The root that is being learned, and the event that asked for it. */
  readonly pending:
    | { readonly root: string; readonly eventId: string; readonly promotion?: Mode }
    | undefined;
  /** The candidate that the gate holds: learned from a root after that of `current`. */
  readonly held: hashing.HeldVersion | undefined;
  readonly current: events.HashFunctionPromoted | undefined;
  /** The newest version that learned something, which `current` is unless an erasure came after it. */
  readonly lastLearned: events.HashFunctionPromoted | undefined;
  /** What the gates said of the versions that serve or have served, oldest first; undefined before the first that said something. */
  readonly gates: readonly hashing.GateReport[] | undefined;
  /** State of the version before the current one: to be destroyed, if a crash has not left it. */
  readonly superseded: events.ArtefactRef | undefined;
  /** Versions that erasures made, by the erasure's name. */
  readonly erasures: Readonly<Record<string, events.HashFunctionPromoted>>;
  readonly failure: { readonly code: string; readonly message: string } | undefined;
  /** Time of the last event, milliseconds since 1970. */
  readonly changedMs: number;
}

export const hashFunction = defineAggregate({
  type: 'hash-function',
  events: [
    EVENT.hashFunctionCreated,
    EVENT.hashUpdateRequested,
    EVENT.hashVersionHeld,
    EVENT.hashFunctionPromoted,
    EVENT.hashFunctionFailed,
  ],
  initial: (): HashFunctionAggregate => ({
    spec: undefined,
    pending: undefined,
    held: undefined,
    current: undefined,
    lastLearned: undefined,
    gates: undefined,
    superseded: undefined,
    erasures: {},
    failure: undefined,
    changedMs: 0,
  }),
  fold: (state, event): HashFunctionAggregate => {
    const changedMs = event.timeMs;
    switch (event.type) {
      case 'hash.function.created': {
        const { spec } = event.data;
        const pending = { root: spec?.root ?? '', eventId: event.id };
        return { ...state, changedMs, spec: spec && kept(spec), pending };
      }
      case 'hash.update.requested': {
        const { root, promotion } = event.data;
        const mode = promotion === MODE_UNSPECIFIED ? {} : { promotion };
        return {
          ...state,
          changedMs,
          pending: { root, eventId: event.id, ...mode },
          failure: undefined,
        };
      }
      case 'hash.version.held':
        return { ...state, changedMs, pending: undefined, held: event.data.held };
      case 'hash.function.failed': {
        const { code, message } = event.data;
        return { ...state, changedMs, pending: undefined, failure: { code, message } };
      }
      case 'hash.function.promoted': {
        const current = event.data;
        const promoted = { ...state, changedMs, current, superseded: state.current?.state };
        if (current.erasure !== '')
          return { ...promoted, erasures: { ...state.erasures, [current.erasure]: current } };
        // A step that moves codes, or a change of the quarantine, has learned nothing.
        if (current.version === state.current?.version) return promoted;
        const gates = current.gate ? [...(state.gates ?? []), current.gate] : state.gates;
        return { ...promoted, gates, pending: undefined, held: undefined, lastLearned: current };
      }
    }
  },
});

/** The re-encoding that goes on, if one does. */
export function movingCodes({ current }: HashFunctionAggregate): hashing.Reencoding | undefined {
  const reencoding = current?.reencoding;
  return reencoding && reencoding.codesLeft > 0n ? reencoding : undefined;
}

const bytesOf = (spec: KeptSpec): Uint8Array =>
  hashing.HashFunctionSpec.encode(hashing.HashFunctionSpec.fromPartial(spec)).finish();

/**
 * @param isGateNamed false if the caller left the gate to its default: a function of a release without a gate is then the same
 * @throws LETHE-4202 the function exists with another specification
 */
export function createFunction(
  state: HashFunctionAggregate,
  name: string,
  spec: hashing.HashFunctionSpec,
  isGateNamed: boolean,
  eventId: string | undefined,
) {
  if (!state.spec) return [newEvent(EVENT.hashFunctionCreated, { function: name, spec }, eventId)];
  const asked = state.spec.gate || isGateNamed ? spec : { ...spec, gate: undefined };
  if (equalBytes(bytesOf(state.spec), bytesOf(asked))) return [];
  throw HASHING_SERVICE.FUNCTION_EXISTS('the function exists with another specification', {
    details: { function: name },
  });
}

/**
 * Asked again for the root that is learned or being learned, it changes nothing.
 * @throws LETHE-4203 nothing is learned yet  @throws LETHE-4204 another root is being learned  @throws LETHE-4205
 * @throws LETHE-4215 codes are being moved to the present version
 */
export function requestUpdate(
  state: HashFunctionAggregate,
  name: string,
  root: string,
  eventId: string | undefined,
) {
  const details = { function: name };
  if (!state.spec) throw HASHING_SERVICE.FUNCTION_UNKNOWN('there is no such function', { details });
  if (state.pending?.root === root || (!state.pending && state.current?.root === root)) return [];
  if (!state.current) throw HASHING_SERVICE.NOT_SERVING('the function has no version to update', { details });
  if (state.pending) throw HASHING_SERVICE.UPDATE_IN_PROGRESS('another root is being learned', { details });
  if (movingCodes(state))
    throw HASHING_SERVICE.REENCODING('codes are being moved to the present version', { details });
  const [, dataset, number] = parseName('datasetRoot', root);
  const [, learnedDataset, learnedNumber] = parseName('datasetRoot', state.current.root);
  if (dataset !== learnedDataset || Number(number) < Number(learnedNumber)) {
    throw HASHING_SERVICE.ROOT_UNFIT('the root does not follow the learned one', { details });
  }
  return [
    newEvent(EVENT.hashUpdateRequested, { function: name, root, promotion: MODE_UNSPECIFIED }, eventId),
  ];
}

/**
 * Asks for the held candidate to be served. Its root is learned again, because nothing of it was kept: from the version that serves
 * then, without whom an erasure has taken out since. Asked again while that goes on, it changes nothing.
 * @throws LETHE-4201, LETHE-4204, LETHE-4207, LETHE-4215  @throws LETHE-4216 the gate holds no candidate of that root
 */
export function requestPromotion(
  state: HashFunctionAggregate,
  name: string,
  asked: { readonly root: string; readonly mode: Mode },
  eventId: string | undefined,
) {
  const details = { function: name };
  const { mode } = asked;
  if (!state.spec) throw HASHING_SERVICE.FUNCTION_UNKNOWN('there is no such function', { details });
  if (mode !== MODE_FORCE && mode !== MODE_FAN_OUT)
    throw HASHING_SERVICE.REQUEST_INVALID('mode is neither FORCE nor FAN_OUT', {
      details: { field: 'mode' },
    });
  const { held, pending } = state;
  const root = asked.root || held?.root || pending?.root || '';
  if (pending?.root === root && pending.promotion === mode) return [];
  if (pending) throw HASHING_SERVICE.UPDATE_IN_PROGRESS('a root is being learned', { details });
  if (!held || held.root !== root)
    throw HASHING_SERVICE.NOT_HELD('the gate holds no candidate of this root', { details });
  return [newEvent(EVENT.hashUpdateRequested, { function: name, root, promotion: mode }, eventId)];
}
