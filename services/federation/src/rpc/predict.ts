import type { federation as wire } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { bytesOf } from '@lethe/std';
import type { Coordinator } from '../coordinator.ts';
import { FEDERATION } from '../errors.ts';
import { federationAddress } from '../federations.ts';
import { isComplete } from '../resource.ts';
import { answers } from '../room.ts';

const ROWS_MAX = 10_000;
let asked = 0;

/** Logits for rows that all parties hold. @throws LETHE-4101, LETHE-4103, LETHE-4109 to LETHE-4112 */
export async function predict(
  coordinator: Coordinator,
  { name, recordIds }: wire.PredictRequest,
): Promise<Partially<wire.PredictResponse>> {
  const address = federationAddress(name);
  const { spec } = await coordinator.federations.load(address);
  if (recordIds.length < 1 || recordIds.length > ROWS_MAX) {
    throw FEDERATION.REQUEST_INVALID(`there must be 1 to ${ROWS_MAX} record ids`, {
      details: { field: 'record_ids' },
    });
  }
  const room = coordinator.room(address);
  room.present(spec.parties);
  if (!coordinator.ready || room.activity !== 'idle' || room.erasure !== '') throw notReady();
  return await room.inTurn(async (heard) => {
    const { current } = await coordinator.federations.load(address);
    const links = room.present(spec.parties);
    if (!current || room.erasure !== '' || !isComplete(current, room)) throw notReady();
    const { top, aliases, state } = await coordinator.serving(address, current);
    const contained = recordIds.some((recordId) => {
      const alias = aliases.get(recordId);
      return alias !== undefined && coordinator.masks.has(address.tenant, alias);
    });
    if (contained) throw FEDERATION.ROW_CONTAINED('a row belongs to a person whose erasure was requested');
    const stepId = `predict-${++asked}`;
    for (const link of links) link.send({ $case: 'encodeRows', value: { stepId, recordIds } });
    const codes = await answers(heard, spec.parties, {
      kind: 'codes',
      id: stepId,
      timeoutMs: coordinator.settings.answerMs,
    });
    const logits = await top.predict(
      spec.parties.map((party) => codes.get(party)!.codes),
      recordIds.length,
    );
    return { logits: bytesOf(logits), classes: state.classes };
  });
}

const notReady = () => FEDERATION.NOT_READY('the federation has no complete model at the moment');
