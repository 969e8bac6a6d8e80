export * from './errors.ts';
export { createLogger, LOG_LEVELS, type LoggerOptions, type LogLevel, parseLogLevel } from './logger.ts';
export { counter, gauge, histogram, type Instrument, type Measure, processorMs } from './metrics.ts';
export { startTelemetry, type Telemetry, type TelemetryOptions } from './otlp.ts';
export { REDACTED_NAMES, redact } from './redact.ts';
export {
  type AttributeMap,
  extractTrace,
  injectTrace,
  type SpanOptions,
  type SpanRole,
  traceIds,
  withSpan,
} from './tracing.ts';
