import type { events } from '@lethe/contracts';
import type { RecordedEvent } from '@lethe/events';
import type { VaultContext } from '../context.ts';

/** The batch is fixed: the canaries that join it are contained as the person is. */
export async function onErasureStarted(
  { suppression }: VaultContext,
  event: RecordedEvent<string, events.ErasureStarted>,
): Promise<void> {
  suppression.add(event.aggregate.tenant, [...event.data.subjects, ...event.data.cohort], event.data.erasure);
}
