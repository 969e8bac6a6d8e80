import { sleep } from '@lethe/std';

/** Short enough that a watcher sees every phase of work of a second, long enough to cost nothing. */
const POLL_MS = 100;

/**
 * The states of a resource as they change, the present one first; ends after a final one or when the caller leaves.
 * Reads the fold again rather than listening to events: what a watcher sees is what a reader would get.
 */
export async function* watch<Resource>(options: {
  readonly load: () => Promise<Resource>;
  readonly isFinal: (resource: Resource) => boolean;
  readonly signal: AbortSignal;
}): AsyncGenerator<Resource> {
  let shown: string | undefined;
  while (!options.signal.aborted) {
    const resource = await options.load();
    const text = JSON.stringify(resource, (_, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value,
    );
    if (text !== shown) yield resource;
    shown = text;
    if (options.isFinal(resource)) return;
    await sleep(POLL_MS);
  }
}
