import { metrics } from '@opentelemetry/api';
import { type AttributeMap, clean } from './tracing.ts';

const METER = 'lethe';

export interface Instrument {
  readonly description: string;
  /** UCUM: `1`, `ms`, `By`, `{message}`. */
  readonly unit: string;
}

export type Measure = (value: number, attributes?: AttributeMap) => void;

/*
 * The global meter is looked up at the first measurement, not at import: unlike a tracer, a meter taken before the SDK
 * is registered stays a no-op for ever.
 */
function lazily(make: () => Measure): Measure {
  let measure: Measure | undefined;
  return (value, attributes) => {
    measure ??= make();
    measure(value, attributes);
  };
}

/** A sum that only grows: `const sent = counter('lethe.messages.sent', { description, unit: '{message}' }); sent(1)`. */
export function counter(name: string, instrument: Instrument): Measure {
  return lazily(() => {
    const sum = metrics.getMeter(METER).createCounter(name, instrument);
    return (value, attributes) => sum.add(value, clean(attributes ?? {}));
  });
}

/** A distribution of values, durations for the most part. */
export function histogram(name: string, instrument: Instrument): Measure {
  return lazily(() => {
    const values = metrics.getMeter(METER).createHistogram(name, instrument);
    return (value, attributes) => values.record(value, clean(attributes ?? {}));
  });
}

/** The newest value of something that rises and falls. */
export function gauge(name: string, instrument: Instrument): Measure {
  return lazily(() => {
    const newest = metrics.getMeter(METER).createGauge(name, instrument);
    return (value, attributes) => newest.record(value, clean(attributes ?? {}));
  });
}

/**
 * Processor time that this thread has used, milliseconds. For figures about work: what else the machine does meanwhile does not count,
 * and neither does waiting. Systems count it in ticks of a few milliseconds, so sums over much work are exact and single short ones are not.
 */
export function processorMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}
