/**
 * Typed durable consumption. For every delivered event: is its type known (else the consumer stops, LETHE-2011) → does
 * the fold accept it (else it is acknowledged unhandled) → decode and validate the whole event → handler → ack. A
 * handler that throws gets the event again with growing pauses; after the last attempt the event becomes a dead letter, unless
 * the trouble is one that passes (a full store, UNAVAILABLE): then it waits.
 *
 * Handlers run at least once: their effects are idempotent by the event's id (`effectId`).
 */
import { LetheError, type Logger, type RandomSource, STD, secureRandom, silentLogger } from '@lethe/std';
import { counter, histogram, withSpan } from '@lethe/telemetry';
import { AcceptedVersions } from './accepted.ts';
import { SNAPSHOT_TYPE } from './aggregate.ts';
import type { Bus, Consumption, Delivery, StoredMessage } from './bus.ts';
import { putDeadLetter, type ReplayRequest } from './dead-letters.ts';
import { EVENTS } from './errors.ts';
import { decodeEvent, type EventDefinition, HEADERS, type RecordedEvent } from './event.ts';
import { aggregateFilter, replaySubject, STREAMS, subjectToken } from './subjects.ts';

const ATTEMPTS_MAX = 6;
/** Pause after the n-th failed attempt; the last entry repeats. A dead letter is reached after about 16 s. */
const RETRY_DELAYS_MS = [100, 400, 1_500, 4_000, 10_000];
/** Pause of an event that is not this process's to end: its consumer has stopped, or a dead letter has no place. */
const HOLD_MS = 1_000;
/** Share of a pause that is random, so that consumers that failed together do not come back together. */
const JITTER = 0.25;

const handledTotal = counter('lethe.events.handled', { description: 'Events handled', unit: '{event}' });
const failedTotal = counter('lethe.events.failed', { description: 'Failed attempts', unit: '{attempt}' });
const handledMs = histogram('lethe.events.duration', { description: 'Time in handlers', unit: 'ms' });

export interface EventHandler {
  readonly definition: EventDefinition;
  handle(event: RecordedEvent, attempt: number): Promise<void>;
}

/** Types a handler: `on(rootCommitted, async (event) => { … event.data … })`. */
export function on<Type extends string, Data>(
  definition: EventDefinition<Type, Data>,
  handle: (event: RecordedEvent<Type, Data>, attempt: number) => Promise<void>,
): EventHandler {
  return { definition, handle };
}

export interface SubscribeOptions {
  readonly bus: Bus;
  /** Name of the consumer, unique per service and purpose: `learning`, `erasure-saga`. Survives restarts. */
  readonly consumer: string;
  /** Aggregate types whose events it takes. One durable each; order holds within a type, not between types. */
  readonly aggregates: readonly string[];
  readonly handlers: readonly EventHandler[];
  /** Types of those aggregates that it knows and has nothing to do for. Any other type stops it. */
  readonly ignores?: readonly (EventDefinition | string)[];
  /** Take these partitions only (one durable each), so that several processes share the work. Default: all in one. */
  readonly partitions?: readonly number[];
  readonly tenant?: string;
  /** Default 6. */
  readonly attemptsMax?: number;
  readonly retryDelaysMs?: readonly number[];
  readonly ackWaitMs?: number;
  readonly logger?: Logger;
  readonly random?: RandomSource;
  /** Called once if the subscription stops by itself (LETHE-2011); the platform is then not healthy. */
  readonly onStopped?: (error: LetheError) => void;
}

export interface Subscription {
  stop(): Promise<void>;
  /** Why it stopped by itself. */
  readonly failure: LetheError | undefined;
  /** Events not yet handled. */
  lag(): Promise<number>;
}

export async function subscribe(options: SubscribeOptions): Promise<Subscription> {
  const subscription = new EventSubscription(options);
  await subscription.start();
  return subscription;
}

/**
 * Trouble that passes without the event being at fault: a full store, or something that is not there at the moment (a peer, the
 * bus, work that must end first). What waits for it goes on by itself however long it takes.
 */
export const isPassing = (error: unknown): boolean =>
  error instanceof LetheError && (error.status === 'UNAVAILABLE' || error.reason === 'STREAM_FULL');

class EventSubscription implements Subscription {
  readonly #options: SubscribeOptions;
  readonly #handlers: ReadonlyMap<string, EventHandler>;
  readonly #ignored: ReadonlySet<string>;
  readonly #accepted: AcceptedVersions;
  readonly #random: RandomSource;
  readonly #logger: Logger;
  readonly #consumptions: Consumption[] = [];
  #failure: LetheError | undefined;

  constructor(options: SubscribeOptions) {
    subjectToken('consumer', options.consumer);
    this.#options = options;
    this.#handlers = new Map(options.handlers.map((handler) => [handler.definition.type, handler]));
    this.#ignored = new Set([
      SNAPSHOT_TYPE,
      ...(options.ignores ?? []).map((ignored) => (typeof ignored === 'string' ? ignored : ignored.type)),
    ]);
    this.#accepted = new AcceptedVersions(options.bus);
    this.#random = options.random ?? secureRandom();
    this.#logger = options.logger ?? silentLogger;
  }

  get failure(): LetheError | undefined {
    return this.#failure;
  }

  async start(): Promise<void> {
    const { bus, consumer, aggregates, partitions, tenant } = this.#options;
    const ackWait = this.#options.ackWaitMs === undefined ? {} : { ackWaitMs: this.#options.ackWaitMs };
    for (const type of aggregates) {
      for (const partition of partitions ?? [undefined]) {
        const filter = aggregateFilter({
          type,
          ...(tenant === undefined ? {} : { tenant }),
          ...(partition === undefined ? {} : { partition }),
        });
        const scope = [consumer, type, tenant, partition === undefined ? undefined : `p${partition}`];
        this.#consumptions.push(
          await bus.consume({
            stream: STREAMS.events,
            durable: scope.filter((part) => part !== undefined).join('_'),
            filterSubject: filter,
            handler: (delivery) => this.#onDelivery(delivery),
            ...ackWait,
          }),
        );
      }
    }
    this.#consumptions.push(
      await bus.consume({
        stream: STREAMS.deadLetters,
        durable: `${consumer}_replay`,
        filterSubject: replaySubject(consumer),
        handler: (delivery) => this.#onReplay(delivery),
        ...ackWait,
      }),
    );
  }

  async stop(): Promise<void> {
    await Promise.all(this.#consumptions.map((consumption) => consumption.stop()));
  }

  async lag(): Promise<number> {
    const lags = await Promise.all(this.#consumptions.map((consumption) => consumption.lag()));
    return lags.reduce((sum, lag) => sum + lag, 0);
  }

  async #onDelivery(delivery: Delivery): Promise<void> {
    await this.#attempt(delivery, delivery, delivery.attempt);
  }

  /** A request to handle a dead letter again: the same path with the message it points to. */
  async #onReplay(delivery: Delivery): Promise<void> {
    const request = JSON.parse(new TextDecoder().decode(delivery.data)) as ReplayRequest;
    const { bus } = this.#options;
    const message = await bus.get(request.stream, request.sequence);
    const handled = message === undefined || (await this.#attempt(message, delivery, delivery.attempt));
    if (!handled) return;
    await bus.deleteMessageSecurely(STREAMS.deadLetters, request.deadLetter);
    if (message === undefined) delivery.ack();
  }

  /** @returns true if the message needs no further attempt because it was handled */
  async #attempt(message: StoredMessage, delivery: Delivery, attempt: number): Promise<boolean> {
    const type = message.headers[HEADERS.type] ?? '';
    if (this.#failure) {
      delivery.nak(HOLD_MS);
      return false;
    }
    const handler = this.#handlers.get(type);
    if (!handler && !this.#ignored.has(type)) {
      delivery.nak(HOLD_MS);
      this.#fail(type, message);
      return false;
    }
    const started = performance.now();
    try {
      if (handler && (await this.#accepted.isAccepted(message))) {
        const event = decodeEvent(handler.definition, message);
        await withSpan(
          `${type} process`,
          {
            'messaging.system': 'nats',
            'messaging.operation.type': 'process',
            'messaging.consumer.group.name': this.#options.consumer,
            'messaging.message.id': event.id,
          },
          () => handler.handle(event, attempt),
          { role: 'consumer', parent: message.headers },
        );
        handledTotal(1, { type, consumer: this.#options.consumer });
        handledMs(performance.now() - started, { type, consumer: this.#options.consumer });
      }
      delivery.ack();
      return true;
    } catch (error) {
      await this.#retryOrGiveUp(message, delivery, attempt, error);
      return false;
    }
  }

  async #retryOrGiveUp(
    message: StoredMessage,
    delivery: Delivery,
    attempt: number,
    error: unknown,
  ): Promise<void> {
    const type = message.headers[HEADERS.type] ?? '';
    const fields = { consumer: this.#options.consumer, type, sequence: message.sequence, attempt, error };
    failedTotal(1, { type, consumer: this.#options.consumer });
    // Bytes that do not decode will not decode tomorrow.
    const hopeless = error instanceof LetheError && error.reason === 'MALFORMED_EVENT';
    if (isPassing(error) || (!hopeless && attempt < (this.#options.attemptsMax ?? ATTEMPTS_MAX))) {
      const delays = this.#options.retryDelaysMs ?? RETRY_DELAYS_MS;
      const delayMs = delays[Math.min(attempt, delays.length) - 1] ?? 0;
      this.#logger.warn('an event is tried again', fields);
      delivery.nak(delayMs * (1 - JITTER + 2 * JITTER * this.#random.uniform()));
      return;
    }
    const coded = error instanceof LetheError ? error : undefined;
    try {
      await putDeadLetter(this.#options.bus, {
        consumer: this.#options.consumer,
        stream: message.stream,
        sequence: message.sequence,
        eventId: message.headers[HEADERS.id] ?? '',
        eventType: type,
        attempts: attempt,
        code: coded?.code ?? STD.INTERNAL.spec.code,
        message: coded?.message ?? 'an error that is not coded: see the log',
        timeMs: Date.now(),
      });
      this.#logger.error('an event became a dead letter', fields);
      delivery.term();
    } catch (failure) {
      // The reason must be stored before the delivery ends: without a place for it, the event stays.
      this.#logger.error('a dead letter could not be stored', { ...fields, failure });
      delivery.nak(HOLD_MS);
    }
  }

  #fail(type: string, message: StoredMessage): void {
    this.#failure = EVENTS.UNKNOWN_EVENT(
      `consumer ${this.#options.consumer} met the event type "${type.slice(0, 80)}"`,
      { details: { consumer: this.#options.consumer, stream: message.stream, sequence: message.sequence } },
    );
    this.#logger.error('a consumer stopped', { error: this.#failure });
    // Not awaited: stopping waits for the handler that is calling.
    void this.stop().then(() => this.#options.onStopped?.(this.#failure as LetheError));
  }
}
