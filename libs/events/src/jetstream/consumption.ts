import { type Logger, sleep } from '@lethe/std';
import {
  AckPolicy,
  type ConsumerConfig,
  type ConsumerMessages,
  DeliverPolicy,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
} from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import type { Consumption, Delivery } from '../bus.ts';
import { EVENTS } from '../errors.ts';

/** Short pulls with heartbeats: after a leader was killed a 30 s pull stood still 6 s past the election, this one did not. */
const PULL_EXPIRES_MS = 5_000;
const IDLE_HEARTBEAT_MS = 1_000;
const HEARTBEATS_MISSED_MAX = 2;
/** Nothing delivered for so long although the server has messages for us: build the pull anew. */
const WATCHDOG_MS = 10_000;
const REBUILD_PAUSE_MS = 250;

export interface PullConsumptionOptions {
  readonly manager: JetStreamManager;
  readonly client: JetStreamClient;
  readonly stream: string;
  readonly durable: string;
  readonly filterSubject: string;
  readonly concurrency: number;
  readonly ackWaitMs: number;
  readonly logger: Logger;
  readonly handle: (
    message: JsMsg,
    controls: Pick<Delivery, 'attempt' | 'ack' | 'nak' | 'term' | 'working'>,
  ) => Promise<void>;
  readonly onStopped: () => void;
}

/** One durable pull consumer that survives the loss of leaders, servers and of itself on the server. */
export class PullConsumption implements Consumption {
  readonly #options: PullConsumptionOptions;
  readonly #inFlight = new Map<number, Promise<void>>();
  #messages: ConsumerMessages | undefined;
  #running: Promise<void> = Promise.resolve();
  #stopping = false;
  #lastDeliveryMs = Date.now();

  constructor(options: PullConsumptionOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    await this.#ensure();
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#messages?.stop();
    await this.#running;
    await Promise.all(this.#inFlight.values());
    this.#options.onStopped();
  }

  async lag(): Promise<number> {
    const info = await this.#options.manager.consumers.info(this.#options.stream, this.#options.durable);
    return info.num_pending + info.num_ack_pending;
  }

  /** Creates or updates the durable and compares what the server kept. */
  async #ensure(): Promise<void> {
    const { manager, stream, durable } = this.#options;
    const wanted: Partial<ConsumerConfig> = {
      durable_name: durable,
      filter_subject: this.#options.filterSubject,
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.All,
      ack_wait: nanos(this.#options.ackWaitMs),
      max_ack_pending: this.#options.concurrency,
      max_deliver: -1,
    };
    const { config } = await manager.consumers.add(stream, { ...wanted });
    for (const [field, value] of Object.entries(wanted)) {
      const stored = config[field as keyof ConsumerConfig];
      if (stored !== value) {
        throw EVENTS.STREAM_SETTINGS_REFUSED(`consumer ${durable}: the server keeps another ${field}`, {
          details: { stream, durable, field, wanted: String(value), stored: String(stored) },
        });
      }
    }
  }

  async #run(): Promise<void> {
    const { client, stream, durable, logger, concurrency } = this.#options;
    while (!this.#stopping) {
      try {
        const consumer = await client.consumers.get(stream, durable);
        const messages = await consumer.consume({
          // Two spare beyond what may be in flight: the server holds back the rest by max_ack_pending.
          max_messages: concurrency + 2,
          expires: PULL_EXPIRES_MS,
          idle_heartbeat: IDLE_HEARTBEAT_MS,
        });
        this.#messages = messages;
        // Stopped while the pull was being opened: there was nothing to stop then. The client library carries a stop out
        // inside the iteration, so it is asked for here and happens below; waiting for it here would be for ever.
        if (this.#stopping) messages.stop();
        this.#lastDeliveryMs = Date.now();
        const watchdog = setInterval(() => void this.#watch(messages), WATCHDOG_MS);
        void this.#stopWhenLost(messages);
        try {
          for await (const message of messages) {
            if (this.#stopping) message.nak(REBUILD_PAUSE_MS);
            else await this.#take(message);
          }
        } finally {
          clearInterval(watchdog);
          messages.stop();
        }
      } catch (error) {
        if (this.#stopping) return;
        logger.warn('a consumer lost its server and is built anew', { durable, error });
        await this.#ensure().catch(() => undefined);
      }
      if (!this.#stopping) await sleep(REBUILD_PAUSE_MS);
    }
  }

  /** Starts a handler, and waits where as many run as may. */
  async #take(message: JsMsg): Promise<void> {
    this.#lastDeliveryMs = Date.now();
    const sequence = message.seq;
    if (this.#inFlight.has(sequence)) {
      // Redelivered while its handler still runs (the process was too busy for a heartbeat): that run decides.
      message.working();
      return;
    }
    const heartbeat = setInterval(() => message.working(), this.#options.ackWaitMs / 3);
    const run = this.#options
      .handle(message, {
        attempt: message.info.deliveryCount,
        ack: () => message.ack(),
        nak: (delayMs) => message.nak(Math.max(1, Math.ceil(delayMs))),
        term: () => message.term(),
        working: () => message.working(),
      })
      .catch((error: unknown) => {
        this.#options.logger.error('a handler failed outside its own error handling', { error });
        message.nak(1_000);
      })
      .finally(() => {
        clearInterval(heartbeat);
        this.#inFlight.delete(sequence);
      });
    this.#inFlight.set(sequence, run);
    if (this.#inFlight.size >= this.#options.concurrency) await Promise.race(this.#inFlight.values());
  }

  /** Ends the iteration, and so lets it be built anew, on signs that the server no longer knows this pull. */
  async #stopWhenLost(messages: ConsumerMessages): Promise<void> {
    for await (const status of messages.status()) {
      const lost =
        status.type === 'consumer_not_found' ||
        status.type === 'consumer_deleted' ||
        status.type === 'stream_not_found' ||
        (status.type === 'heartbeats_missed' && status.count >= HEARTBEATS_MISSED_MAX);
      if (!lost) continue;
      if (status.type !== 'heartbeats_missed') await this.#ensure().catch(() => undefined);
      messages.stop();
      return;
    }
  }

  async #watch(messages: ConsumerMessages): Promise<void> {
    if (this.#inFlight.size > 0 || Date.now() - this.#lastDeliveryMs < WATCHDOG_MS) return;
    const { manager, stream, durable, logger } = this.#options;
    const info = await manager.consumers.info(stream, durable).catch(() => undefined);
    if (!info || info.num_pending === 0 || info.num_ack_pending > 0 || this.#inFlight.size > 0) return;
    logger.warn('a consumer stands still although messages wait: it is built anew', {
      durable,
      pending: info.num_pending,
    });
    messages.stop();
  }
}
