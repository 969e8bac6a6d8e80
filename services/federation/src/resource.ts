import { common, federation as wire } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import type { Coordinator } from './coordinator.ts';
import type { Address, Existing } from './federations.ts';
import type { Room } from './room.ts';

/** A federation as callers see it. */
export async function resource(
  coordinator: Coordinator,
  address: Address,
): Promise<Partially<wire.Federation>> {
  const federation = await coordinator.federations.load(address);
  const room = coordinator.room(address);
  const { spec, current, keys } = federation;
  return {
    name: address.name,
    spec,
    state: stateOf(federation, room),
    conditions: conditions(federation, room),
    ...(room.progress ? { progress: room.progress } : {}),
    parties: spec.parties.map((party) => ({
      party,
      present: room.links.has(party),
      publicKey: keys[party] ?? new Uint8Array(0),
      modelDigest: current?.parties.find((status) => status.party === party)?.modelDigest ?? '',
    })),
    version: current?.version ?? 0,
    digest: current?.digest ?? '',
    bytesPerSampleUp: current?.bytesPerSampleUp ?? 0,
    bytesPerSampleDown: current?.bytesPerSampleDown ?? 0,
    updateTime: new Date(federation.changedMs),
  };
}

function stateOf({ spec, current, failure }: Existing, room: Room): wire.Federation_State {
  const { STATE_ERASING, STATE_TRAINING, STATE_FAILED, STATE_READY, STATE_WAITING_FOR_PARTIES } =
    wire.Federation_State;
  if (room.erasure !== '') return STATE_ERASING;
  if (room.activity === 'training') return STATE_TRAINING;
  if (failure) return STATE_FAILED;
  const ready = current && room.missing(spec.parties).length === 0 && isComplete(current, room);
  return ready ? STATE_READY : STATE_WAITING_FOR_PARTIES;
}

/** Every party holds the model of the current version. */
export const isComplete = (current: NonNullable<Existing['current']>, room: Room): boolean =>
  current.parties.every(({ party, modelDigest }) => room.links.get(party)?.modelDigest === modelDigest);

function conditions({ spec, failure, changedMs }: Existing, room: Room): common.Condition[] {
  const { CONDITION_STATUS_TRUE, CONDITION_STATUS_FALSE } = common.ConditionStatus;
  const lastTransitionTime = new Date(changedMs);
  const missing = room.missing(spec.parties);
  const notes = [...(missing.length > 0 ? [`not present: ${missing.join(', ')}`] : []), room.abandoned];
  const present: common.Condition = {
    type: 'PartiesPresent',
    status: missing.length === 0 ? CONDITION_STATUS_TRUE : CONDITION_STATUS_FALSE,
    reason: missing.length === 0 ? 'AllPresent' : 'PartyMissing',
    message: notes.filter((note) => note !== '').join('; '),
    lastTransitionTime,
  };
  if (!failure) return [present];
  const { code, message } = failure;
  return [
    present,
    {
      type: 'Trained',
      status: CONDITION_STATUS_FALSE,
      reason: 'Failed',
      message: message.includes(code) ? message : `[${code}] ${message}`,
      lastTransitionTime,
    },
  ];
}
