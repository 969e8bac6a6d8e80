import type { Bus } from './bus.ts';
import { STREAMS } from './subjects.ts';

const MiB = 1024 * 1024;

/** Bytes reserved per stream; each has a variable of its own in the platform's configuration. */
export interface StreamLimits {
  /** LETHE_EVENTS_MAX_BYTES */
  readonly eventsBytesMax: number;
  /** LETHE_RECORDS_MAX_BYTES */
  readonly recordsBytesMax: number;
  /** LETHE_ARTEFACTS_MAX_BYTES */
  readonly artefactsBytesMax: number;
  /** LETHE_DEAD_LETTERS_MAX_BYTES */
  readonly deadLettersBytesMax: number;
}

/**
 * Enough for the demonstration data several times over on a small disk. Reserved, not used: the sum must fit what
 * nats-server may take (3/4 of the free disk unless configured otherwise).
 */
export const DEFAULT_LIMITS: StreamLimits = {
  eventsBytesMax: 128 * MiB,
  recordsBytesMax: 512 * MiB,
  artefactsBytesMax: 1024 * MiB,
  deadLettersBytesMax: 16 * MiB,
};

/** Creates the platform's streams, or finds them as they should be. Every service may call it at its start. */
export async function ensurePlatformStreams(
  bus: Bus,
  options: { readonly limits?: Partial<StreamLimits>; readonly replicas?: number } = {},
): Promise<void> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const replicas = options.replicas ?? 1;
  await bus.ensureStream({
    name: STREAMS.events,
    subjects: ['lethe.v1.*.*.*.*'],
    maxBytes: limits.eventsBytesMax,
    replicas,
  });
  await bus.ensureStream({
    name: STREAMS.records,
    subjects: ['lethe.records.v1.*.*.*'],
    maxBytes: limits.recordsBytesMax,
    replicas,
  });
  await bus.ensureStream({
    name: STREAMS.artefacts,
    subjects: ['lethe.artefacts.v1.*.*'],
    maxBytes: limits.artefactsBytesMax,
    replicas,
  });
  await bus.ensureStream({
    name: STREAMS.deadLetters,
    subjects: ['lethe.dead.v1.*', 'lethe.replay.v1.*'],
    maxBytes: limits.deadLettersBytesMax,
    replicas,
  });
}
