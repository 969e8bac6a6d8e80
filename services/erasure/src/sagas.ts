import type { Clock, Logger } from '@lethe/std';
import { type CertifyDeps, certify } from './certify.ts';
import type { Erasures } from './directory.ts';
import { type Deadlines, decide } from './domain/decide.ts';
import type { Gatherer } from './gather.ts';

/** A pause before a look that failed is tried again, and between looks at a log that has yet to take a statement. */
const RETRY_MS = 500;
/** Node's timers hold no more than 2^31 ms; a look now and then costs nothing. */
const TIMER_MS_MAX = 60_000;

export interface SagasDeps extends CertifyDeps {
  readonly gatherer: Gatherer;
  readonly directory: Erasures;
  readonly deadlines: Deadlines;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * The shell around `decide`: gather, decide, act, until there is something to wait for. Whatever woke it, it looks at
 * everything again; so waking it once too often or in another order changes nothing.
 */
export class Sagas {
  readonly #deps: SagasDeps;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #turns = new Map<string, Promise<void>>();
  readonly #sinceMs: number;
  #closed = false;

  constructor(deps: SagasDeps) {
    this.#deps = deps;
    this.#sinceMs = deps.clock.nowMs();
  }

  /** Takes up every erasure that a stop has interrupted; its timers are armed again. */
  async resume(): Promise<void> {
    for (const { tenant, id, ended } of await this.#deps.directory.all()) {
      if (!ended) void this.wake(tenant, id).catch(() => undefined);
    }
  }

  /** Goes as far as it can now; one at a time per erasure. A failure is thrown, and tried again by a timer besides. */
  async wake(tenant: string, id: string): Promise<void> {
    const key = `${tenant}/${id}`;
    const before = this.#turns.get(key) ?? Promise.resolve();
    const mine = before.then(() => this.#advance(tenant, id));
    const settled = mine.catch((error: unknown) => {
      this.#deps.logger.warn('an erasure could not go on', { tenant, erasure: id, error });
      this.#arm(tenant, id, RETRY_MS);
    });
    this.#turns.set(key, settled);
    try {
      await mine;
    } finally {
      if (this.#turns.get(key) === settled) this.#turns.delete(key);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    await Promise.all(this.#turns.values());
  }

  async #advance(tenant: string, id: string): Promise<void> {
    const { gatherer, deadlines, clock } = this.#deps;
    while (!this.#closed) {
      const situation = await gatherer.situation(tenant, id);
      const now = { nowMs: clock.nowMs(), sinceMs: this.#sinceMs };
      const decision = decide(situation, deadlines, now);
      if (decision.kind === 'nothing') return;
      if (decision.kind === 'wait') {
        const isOurs = decision.obstacle.reason === 'EvidenceNotLogged';
        this.#arm(tenant, id, isOurs ? RETRY_MS : decision.untilMs - now.nowMs);
        return;
      }
      const { phase } = situation.saga;
      const event =
        decision.kind === 'commit'
          ? decision.event
          : await certify(this.#deps, tenant, situation, decision.missing);
      await gatherer.sagas.propose(tenant, id, (saga) => (saga.phase === phase ? [event] : []));
      this.#deps.logger.info('an erasure went on', { tenant, erasure: id, event: event.definition.type });
    }
  }

  #arm(tenant: string, id: string, inMs: number): void {
    const key = `${tenant}/${id}`;
    clearTimeout(this.#timers.get(key));
    if (this.#closed) return;
    const timer = setTimeout(
      () => {
        this.#timers.delete(key);
        void this.wake(tenant, id).catch(() => undefined);
      },
      Math.min(Math.max(inMs, 10), TIMER_MS_MAX),
    );
    timer.unref();
    this.#timers.set(key, timer);
  }
}
