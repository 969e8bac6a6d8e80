/**
 * One coded error for the whole platform.
 *
 * Two kinds of failure are kept apart, as faiss does with ASSERT and THROW: a `LetheError` is somebody's input or
 * environment, has a code, a gRPC status and a remedy, and may cross a socket; an `AssertionError` is our bug and is
 * never translated into a polite answer.
 */

/** The canonical gRPC status names (google.rpc.Code). */
export type StatusName =
  | 'CANCELLED'
  | 'INVALID_ARGUMENT'
  | 'DEADLINE_EXCEEDED'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'PERMISSION_DENIED'
  | 'RESOURCE_EXHAUSTED'
  | 'FAILED_PRECONDITION'
  | 'ABORTED'
  | 'OUT_OF_RANGE'
  | 'UNIMPLEMENTED'
  | 'INTERNAL'
  | 'UNAVAILABLE'
  | 'DATA_LOSS'
  | 'UNAUTHENTICATED';

/** What is fixed about one kind of error: one row of a part's `errors.ts`. */
export interface ErrorSpec {
  /** `LETHE-nnnn`, never reused for another meaning. */
  readonly code: `LETHE-${number}`;
  readonly status: StatusName;
  /** What the reader can do about it, as a sentence. */
  readonly remedy: string;
}

export interface ErrorOptions {
  /** Facts for the reader: ids, counts, names of fields. Never a record, a subject id or key material. */
  readonly details?: Readonly<Record<string, string | number | boolean>>;
  /** Kept for our logs; never sent to a caller. */
  readonly cause?: unknown;
}

export class LetheError extends Error {
  readonly code: ErrorSpec['code'];
  /** UPPER_SNAKE name of the row in the error table; becomes `ErrorInfo.reason`. */
  readonly reason: string;
  readonly status: StatusName;
  readonly remedy: string;
  readonly details: Readonly<Record<string, string | number | boolean>>;

  constructor(reason: string, spec: ErrorSpec, message: string, options: ErrorOptions = {}) {
    super(`[${spec.code}] ${message}`, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'LetheError';
    this.code = spec.code;
    this.reason = reason;
    this.status = spec.status;
    this.remedy = spec.remedy;
    this.details = options.details ?? {};
  }
}

/** Makes one error of a kind: `throw EVENTS.STREAM_FULL('the RECORDS stream is at its limit', { details })`. */
export type ErrorMaker = (message: string, options?: ErrorOptions) => LetheError;

const registry = new Map<string, { reason: string; spec: ErrorSpec }>();

/**
 * Declares a part's errors. The codes of all parts share one number space (see the table in this library's README);
 * a code declared twice is our bug and stops the process at import.
 */
export function defineErrors<const T extends Readonly<Record<string, ErrorSpec>>>(
  table: T,
): { readonly [K in keyof T]: ErrorMaker & { readonly spec: ErrorSpec; readonly reason: K } } {
  const makers: Record<string, unknown> = {};
  for (const [reason, spec] of Object.entries(table)) {
    const known = registry.get(spec.code);
    if (known && known.reason !== reason) {
      throw new AssertionError(`error code ${spec.code} is declared as ${known.reason} and as ${reason}`);
    }
    registry.set(spec.code, { reason, spec });
    const make: ErrorMaker = (message, options) => new LetheError(reason, spec, message, options);
    makers[reason] = Object.assign(make, { spec, reason });
  }
  return makers as { readonly [K in keyof T]: ErrorMaker & { readonly spec: ErrorSpec; readonly reason: K } };
}

/** Every error declared by the parts imported so far, by code: the source of the README's table. */
export function declaredErrors(): readonly { reason: string; spec: ErrorSpec }[] {
  return [...registry.values()].sort((a, b) => (a.spec.code < b.spec.code ? -1 : 1));
}

/** True for text that has the form of an error code. */
export function isErrorCode(text: string | undefined): text is ErrorSpec['code'] {
  return text !== undefined && /^LETHE-\d{4}$/.test(text);
}

/** True for a `LetheError` of that kind. */
export function isError(error: unknown, kind: { readonly spec: ErrorSpec }): error is LetheError {
  return error instanceof LetheError && error.code === kind.spec.code;
}

/** A broken invariant: our bug, not the caller's. */
export class AssertionError extends Error {
  constructor(message: string) {
    super(`assertion failed: ${message}`);
    this.name = 'AssertionError';
  }
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

export const STD = defineErrors({
  INVALID_ARGUMENT: {
    code: 'LETHE-1001',
    status: 'INVALID_ARGUMENT',
    remedy: 'Correct the named field and send the request again.',
  },
  NOT_CANONICAL: {
    code: 'LETHE-1003',
    status: 'INVALID_ARGUMENT',
    remedy: 'Pass on the bytes exactly as they were issued; write values with canonicalJson.',
  },
  INTERNAL: {
    code: 'LETHE-1002',
    status: 'INTERNAL',
    remedy: 'This is a defect of Lethe: report it with the trace id and the log lines around it.',
  },
});
