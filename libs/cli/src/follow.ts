import { LetheError, sleep } from '@lethe/std';

const PAUSE_MS = 1_000;
/** A platform that restarts is back within seconds; one that is gone longer is somebody's business. */
const AWAY_MS_MAX = 60_000;

/**
 * Follows a resource to its end. A stream that breaks or ends early is opened again, so that a restart of the platform does not
 * end the watching; the resource lives on the server's side in any case.
 * @returns the resource in its final state  @throws LetheError of the server, or of a platform that stays away
 */
export async function follow<T>(options: {
  readonly open: () => AsyncIterable<T>;
  readonly isFinal: (resource: T) => boolean;
  readonly seen: (resource: T) => void;
  readonly pauseMs?: number;
}): Promise<T> {
  let aliveMs = performance.now();
  for (;;) {
    try {
      for await (const resource of options.open()) {
        aliveMs = performance.now();
        options.seen(resource);
        if (options.isFinal(resource)) return resource;
      }
    } catch (error) {
      const isAway = error instanceof LetheError && error.status === 'UNAVAILABLE';
      if (!isAway || performance.now() - aliveMs > AWAY_MS_MAX) throw error;
    }
    await sleep(options.pauseMs ?? PAUSE_MS);
  }
}
