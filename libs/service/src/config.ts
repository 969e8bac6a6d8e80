/** Configuration of a Lethe process from the environment; every variable is listed in services/platform/README.md. */
import { resolve } from 'node:path';
import type { Part } from '@lethe/client';
import { checkId } from '@lethe/contracts';
import { defineErrors } from '@lethe/std';
import { type LogLevel, parseLogLevel } from '@lethe/telemetry';

export const SERVICE = defineErrors({
  CONFIG_INVALID: {
    code: 'LETHE-5001',
    status: 'INVALID_ARGUMENT',
    remedy: 'Correct the environment variable; services/platform/README.md lists them with their defaults.',
  },
});

export interface Config {
  /** Holds keys, credentials and, unless LETHE_NATS_URL names a server, the JetStream store. */
  readonly dataDirectory: string;
  readonly credentialsPath: string;
  /** Tenant that must have credentials; undefined for those that are there, and `default` at the first start. */
  readonly tenant: string | undefined;
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
  readonly logLevel: LogLevel;
  /** Put before the names of streams and subjects, so that several platforms can share a server. */
  readonly instancePrefix: string | undefined;
  readonly replicas: number;
  readonly limits: Readonly<
    Partial<
      Record<'eventsBytesMax' | 'recordsBytesMax' | 'artefactsBytesMax' | 'deadLettersBytesMax', number>
    >
  >;
  /** Where services live that this process does not host. */
  readonly addresses: Readonly<Partial<Record<Part, string>>>;
  /** Further directories for the scan, for example those of a NATS server that is not ours. */
  readonly scanPaths: readonly string[];
  /** How long owners may read an erased person's record once more. */
  readonly erasureDeadlineMs: number;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

type Environment = Readonly<Record<string, string | undefined>>;

export function readConfig(environment: Environment): Config {
  const dataDirectory = resolve(environment.LETHE_DATA_DIR ?? '.lethe');
  const parts: readonly Part[] = ['vault', 'hashing', 'learning', 'federation', 'audit', 'erasure'];
  const addresses = Object.fromEntries(
    parts.flatMap((part) => {
      const address = environment[`LETHE_${part.toUpperCase()}_ADDRESS`];
      return address ? [[part, address]] : [];
    }),
  );
  const limits = {
    eventsBytesMax: bytes(environment, 'LETHE_EVENTS_MAX_BYTES'),
    recordsBytesMax: bytes(environment, 'LETHE_RECORDS_MAX_BYTES'),
    artefactsBytesMax: bytes(environment, 'LETHE_ARTEFACTS_MAX_BYTES'),
    deadLettersBytesMax: bytes(environment, 'LETHE_DEAD_LETTERS_MAX_BYTES'),
  };
  return {
    dataDirectory,
    credentialsPath: resolve(environment.LETHE_CREDENTIALS ?? `${dataDirectory}/credentials.json`),
    tenant: environment.LETHE_TENANT ? checkId(environment.LETHE_TENANT, 'LETHE_TENANT') : undefined,
    host: environment.LETHE_HOST ?? '127.0.0.1',
    port: integer(environment, 'LETHE_PORT', 0, 65_535) ?? 7420,
    logLevel: parseLogLevel(environment.LETHE_LOG ?? 'info'),
    instancePrefix: environment.LETHE_INSTANCE,
    replicas: integer(environment, 'LETHE_NATS_REPLICAS', 1, 5) ?? 1,
    limits: Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined)),
    addresses,
    scanPaths: (environment.LETHE_SCAN_PATHS ?? '').split(':').filter((path) => path !== ''),
    erasureDeadlineMs: integer(environment, 'LETHE_ERASURE_DEADLINE_MS', 100, 3_600_000) ?? 60_000,
    environment,
  };
}

function integer(environment: Environment, name: string, min: number, max: number): number | undefined {
  const text = environment[name];
  if (text === undefined || text === '') return undefined;
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw SERVICE.CONFIG_INVALID(`${name} must be a whole number from ${min} to ${max}`, {
      details: { variable: name },
    });
  }
  return value;
}

const bytes = (environment: Environment, name: string): number | undefined =>
  integer(environment, name, 1024 * 1024, Number.MAX_SAFE_INTEGER);
