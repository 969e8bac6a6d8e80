import { EVENT, type events } from '@lethe/contracts';
import { effectId, newEvent, type RecordedEvent } from '@lethe/events';
import type { VaultContext } from '../context.ts';

/** Contains: from here on nothing of the subject is ingested or read. */
export async function onErasureRequested(
  { suppression, erasures }: VaultContext,
  event: RecordedEvent<string, events.ErasureRequested>,
): Promise<void> {
  const { tenant, id } = event.aggregate;
  suppression.add(tenant, [event.data.subjectAlias]);
  await erasures.propose(tenant, id, (state) =>
    state.contained
      ? []
      : [
          newEvent(
            EVENT.vaultContained,
            {
              erasure: event.data.erasure,
              owner: 'vault',
              artefacts: event.data.datasets,
              cohort: [],
              audit: '',
            },
            effectId(event.id, EVENT.vaultContained.type),
          ),
        ],
  );
}
