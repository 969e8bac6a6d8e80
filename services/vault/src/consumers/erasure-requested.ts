import { EVENT, type events, resourceName } from '@lethe/contracts';
import { effectId, newEvent, type RecordedEvent } from '@lethe/events';
import type { VaultContext } from '../context.ts';

/**
 * Contains: from here on nothing of the subject is ingested or read. What was being stored at this moment is waited for, so that the
 * datasets named here are all that will ever hold the subject.
 */
export async function onErasureRequested(
  context: VaultContext,
  event: RecordedEvent<string, events.ErasureRequested>,
): Promise<void> {
  const { tenant, id } = event.aggregate;
  const { suppression, erasures, ingesting } = context;
  suppression.add(tenant, [event.data.subjectAlias]);
  await Promise.allSettled([...ingesting]);
  const holders = new Set(event.data.datasets);
  for (const dataset of await context.datasets.list(tenant)) {
    const count = await context.records.countOf(tenant, dataset, event.data.subjectAlias);
    if (count > 0) holders.add(resourceName('dataset', tenant, dataset));
  }
  await erasures.propose(tenant, id, (state) =>
    state.contained
      ? []
      : [
          newEvent(
            EVENT.vaultContained,
            {
              erasure: event.data.erasure,
              owner: 'vault',
              artefacts: [...holders],
              cohort: [],
              audit: '',
            },
            effectId(event.id, EVENT.vaultContained.type),
          ),
        ],
  );
}
