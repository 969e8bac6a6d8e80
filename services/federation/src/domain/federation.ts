/** A federation as the fold of its events, and what may be asked of it. Pure. */
import { EVENT, type events, type federation as wire } from '@lethe/contracts';
import { defineAggregate, newEvent } from '@lethe/events';
import { canonicalJson, equalBytes } from '@lethe/std';
import { FEDERATION } from '../errors.ts';

export interface FederationAggregate {
  readonly spec: wire.FederationSpec | undefined;
  /** Keys that the parties first joined with. */
  readonly keys: Readonly<Record<string, Uint8Array>>;
  readonly current: events.FederationTrained | undefined;
  /** State of the version before: to be destroyed, if a crash has left it. */
  readonly superseded: events.ArtefactRef | undefined;
  /** Versions that erasures made, by the erasure's name. */
  readonly erasures: Readonly<Record<string, events.FederationTrained>>;
  readonly failure: { readonly code: string; readonly message: string } | undefined;
  /** Time of the last event, milliseconds since 1970. */
  readonly changedMs: number;
}

export const federationAggregate = defineAggregate({
  type: 'federation',
  events: [EVENT.federationCreated, EVENT.partyJoined, EVENT.federationTrained, EVENT.federationFailed],
  initial: (): FederationAggregate => ({
    spec: undefined,
    keys: {},
    current: undefined,
    superseded: undefined,
    erasures: {},
    failure: undefined,
    changedMs: 0,
  }),
  fold: (state, event): FederationAggregate => {
    const changedMs = event.timeMs;
    switch (event.type) {
      case 'federation.created':
        return { ...state, changedMs, spec: event.data.spec };
      case 'party.joined': {
        const { party, publicKey } = event.data;
        return { ...state, changedMs, keys: { ...state.keys, [party]: publicKey } };
      }
      case 'federation.failed': {
        const { code, message } = event.data;
        return { ...state, changedMs, failure: { code, message } };
      }
      case 'federation.trained': {
        const current = event.data;
        const trained = {
          ...state,
          changedMs,
          current,
          superseded: state.current?.state,
          failure: undefined,
        };
        return current.erasure === ''
          ? trained
          : { ...trained, erasures: { ...state.erasures, [current.erasure]: current } };
      }
    }
  },
});

/** @throws LETHE-4102 the federation exists with another specification */
export function create(
  state: FederationAggregate,
  name: string,
  spec: wire.FederationSpec,
  eventId: string | undefined,
) {
  if (!state.spec) return [newEvent(EVENT.federationCreated, { federation: name, spec }, eventId)];
  if (canonicalJson(state.spec) === canonicalJson(spec)) return [];
  throw FEDERATION.EXISTS('the federation exists with another specification', {
    details: { federation: name },
  });
}

/** The first joining fixes a party's key. @throws LETHE-4106 it comes back with another one */
export function join(state: FederationAggregate, name: string, party: string, publicKey: Uint8Array) {
  const known = state.keys[party];
  if (!known) return [newEvent(EVENT.partyJoined, { federation: name, party, publicKey })];
  if (equalBytes(known, publicKey)) return [];
  throw FEDERATION.PARTY_KEY_CHANGED('the party has joined with another key before', { details: { party } });
}
