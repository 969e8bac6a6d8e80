/** Whether a run that trains in this process was asked to stop: looked up in its stream, since the request may have come through another replica. */
import type { LearningContext, LoadedRun } from './context.ts';
import { LEARNING } from './errors.ts';

const POLL_MS = 250;

export class StopSignal {
  #requested: boolean;
  readonly #timer: NodeJS.Timeout;

  constructor({ runs }: LearningContext, { tenant, id, run }: LoadedRun) {
    this.#requested = run.cancelRequested === true;
    let isLooking = false;
    this.#timer = setInterval(() => {
      if (isLooking) return;
      isLooking = true;
      runs
        .load(tenant, id)
        .then(({ state }) => {
          this.#requested ||= state.cancelRequested === true;
        })
        // The training itself will meet the same trouble and says it.
        .catch(() => undefined)
        .finally(() => {
          isLooking = false;
        });
    }, POLL_MS);
    this.#timer.unref();
  }

  get requested(): boolean {
    return this.#requested;
  }

  /** @throws LETHE-4320 the run was asked to stop */
  throwIfRequested(): void {
    if (this.#requested) throw LEARNING.STOPPED('the run was asked to stop');
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
