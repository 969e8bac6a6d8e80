import { sleep } from '@lethe/std';
import type { Bus } from './bus.ts';
import { readEnvelope } from './event.ts';
import { type AggregateAddress, aggregateFilter, STREAMS } from './subjects.ts';

const POLL_MS = 250;

/** One event as `lethe events tail` shows it: its envelope, and of its payload the size. */
export interface TailedEvent {
  readonly sequence: number;
  readonly timeMs: number;
  readonly id: string;
  readonly type: string;
  readonly version: number;
  readonly source: string;
  readonly aggregate: AggregateAddress;
  readonly bytes: number;
}

export interface TailOptions {
  readonly tenant?: string;
  /** Aggregate type. */
  readonly type?: string;
  readonly fromSequence?: number;
  /** Go on with what is appended later, until the signal aborts. */
  readonly follow?: AbortSignal;
}

/** Events in the order of the stream, those that the fold ignores included: they are part of what happened. */
export async function* tail(bus: Bus, options: TailOptions = {}): AsyncGenerator<TailedEvent> {
  const filter = aggregateFilter({
    ...(options.tenant === undefined ? {} : { tenant: options.tenant }),
    ...(options.type === undefined ? {} : { type: options.type }),
  });
  let next = options.fromSequence ?? 1;
  for (;;) {
    for await (const message of bus.read(STREAMS.events, filter, { fromSequence: next })) {
      next = message.sequence + 1;
      const { id, type, version, source, timeMs, aggregate } = readEnvelope(message);
      yield {
        sequence: message.sequence,
        timeMs,
        id,
        type,
        version,
        source,
        aggregate,
        bytes: message.data.length,
      };
    }
    if (!options.follow || options.follow.aborted) return;
    await sleep(POLL_MS);
  }
}
