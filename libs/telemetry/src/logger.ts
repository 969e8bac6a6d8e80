import type { Logger } from '@lethe/std';
import { type DestinationStream, destination, pino } from 'pino';
import { TELEMETRY } from './errors.ts';
import { redact } from './redact.ts';
import { traceIds } from './tracing.ts';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface LoggerOptions {
  /** The part that speaks: `vault`, `events`, … */
  readonly name: string;
  readonly level?: LogLevel;
  /** Where lines go. Default: standard error, because standard output belongs to the command's result. */
  readonly destination?: DestinationStream;
}

/** @throws LetheError LETHE-2501 not a level */
export function parseLogLevel(text: string): LogLevel {
  const level = LOG_LEVELS.find((known) => known === text);
  if (!level) throw TELEMETRY.BAD_LOG_LEVEL(`"${text}" is not a log level`);
  return level;
}

/** One JSON object a line: level, RFC 3339 time, part, message, redacted fields, and the trace it belongs to. */
export function createLogger(options: LoggerOptions): Logger {
  const sink = pino(
    {
      name: options.name,
      level: options.level ?? 'info',
      base: {},
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    options.destination ?? destination({ fd: 2, sync: true }),
  );
  const line = (fields?: Readonly<Record<string, unknown>>) => ({
    ...(fields ? (redact(fields) as Record<string, unknown>) : {}),
    ...traceIds(),
  });
  return {
    debug: (message, fields) => sink.debug(line(fields), message),
    info: (message, fields) => sink.info(line(fields), message),
    warn: (message, fields) => sink.warn(line(fields), message),
    error: (message, fields) => sink.error(line(fields), message),
  };
}
