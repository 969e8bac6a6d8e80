/**
 * How a replica knows what it must: who is contained, and which functions have changed. Each process reads the events for itself.
 *
 * The promise to a person. Containment is acknowledged (`hash.contained`) no sooner than one lease after the process that
 * acknowledges it has read of the request. A replica answers only if it began to read the events, to their end, at most one lease
 * before; otherwise it reads them first, and if it cannot it answers nothing (LETHE-4213). So a question that reaches any replica
 * after the acknowledgement is answered without the person. The argument needs no clock in common: each process measures a length
 * of time by its own, and the wait is a quarter longer than the lease for those that run at different speeds.
 */
import { EVENT } from '@lethe/contracts';
import {
  aggregateFilter,
  type Bus,
  decodeEvent,
  readEnvelope,
  STREAMS,
  type StoredMessage,
} from '@lethe/events';
import type { ContainedAliases } from '@lethe/service';
import { sleep } from '@lethe/std';
import { HASHING_SERVICE } from './errors.ts';
import { type Address, addressOf } from './functions.ts';

/** How long the bus may take to tell what is new. */
const READ_MS = 2_000;
const DRIFT = 1.25;

export interface FollowerOptions {
  readonly bus: Bus;
  readonly masks: ContainedAliases;
  /** Called for each event of a function. */
  readonly onFunction: (address: Address) => void;
  /** How old a look at the events may be; default 250 ms. */
  readonly freshMs?: number;
}

export class Follower {
  readonly #options: FollowerOptions;
  readonly #freshMs: number;
  #sequence = 0;
  /** When the last look that reached the end began, by this process's own measure. */
  #began = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;
  #stopped = false;
  #background: Promise<void> = Promise.resolve();

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#freshMs = options.freshMs ?? 250;
  }

  /** How long after a fact every replica that answers has read of it. */
  get leaseMs(): number {
    return DRIFT * this.#freshMs;
  }

  /** Reads every erasure there ever was, then follows. */
  async start(): Promise<void> {
    const { bus, masks } = this.#options;
    const { lastSequence } = await bus.streamState(STREAMS.events);
    this.#began = performance.now();
    await masks.load(bus, 'started');
    this.#sequence = lastSequence;
    this.#background = this.#follow();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#background;
  }

  /** Returns when this replica knows every event that was there one lease ago. @throws LETHE-4213 the events cannot be read */
  async fresh(): Promise<void> {
    const oldest = performance.now() - this.#freshMs;
    while (this.#began < oldest) await this.#look();
  }

  /** One look at a time; whoever comes meanwhile shares it. */
  async #look(): Promise<void> {
    this.#looking ??= this.#lookOnce().finally(() => {
      this.#looking = undefined;
    });
    await this.#looking;
  }

  async #lookOnce(): Promise<void> {
    const began = performance.now();
    const { bus } = this.#options;
    const gone = new AbortController();
    const read = async (): Promise<void> => {
      for await (const message of bus.read(STREAMS.events, aggregateFilter({}), {
        fromSequence: this.#sequence + 1,
      })) {
        if (gone.signal.aborted) return;
        this.#apply(message);
        this.#sequence = message.sequence;
      }
    };
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error(`nothing came in ${READ_MS} ms`)), READ_MS);
    try {
      await Promise.race([read(), late]);
    } catch (cause) {
      gone.abort();
      throw HASHING_SERVICE.EVENTS_UNREACHABLE('the events cannot be read', { cause });
    } finally {
      clearTimeout(timer);
    }
    this.#began = began;
  }

  #apply(message: StoredMessage): void {
    const { masks, onFunction } = this.#options;
    const { type, aggregate } = readEnvelope(message);
    if (type === EVENT.erasureRequested.type) {
      masks.add(aggregate.tenant, [decodeEvent(EVENT.erasureRequested, message).data.subjectAlias]);
    } else if (type === EVENT.erasureStarted.type) {
      const { subjects, cohort } = decodeEvent(EVENT.erasureStarted, message).data;
      masks.add(aggregate.tenant, [...subjects, ...cohort]);
    } else if (aggregate.type === 'hash-function') {
      onFunction(addressOf(aggregate.tenant, aggregate.id));
    }
  }

  /** New versions are opened as they come, also where nobody asks: what an erasure took out shall leave this memory as well. */
  async #follow(): Promise<void> {
    while (!this.#stopped) {
      await this.#look().catch(() => undefined);
      await sleep(this.#freshMs / 2);
    }
  }
}
