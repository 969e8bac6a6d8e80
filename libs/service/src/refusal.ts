import { LetheError, type StatusName } from '@lethe/std';

const FINAL: ReadonlySet<StatusName> = new Set([
  'INVALID_ARGUMENT',
  'NOT_FOUND',
  'FAILED_PRECONDITION',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'DATA_LOSS',
]);

/** What will be the same when it is tried again, so that work ends with it as a fact; anything else is tried again. */
export const isFinal = (error: unknown): error is LetheError =>
  error instanceof LetheError && FINAL.has(error.status);
