import { LetheError } from '@lethe/std';

/**
 * Names under which a person or a secret could travel. A field or attribute with such a name (any case, `_` and `-`
 * ignored) never leaves the process: the list is the second net, the first is that nobody passes such a field.
 */
export const REDACTED_NAMES: readonly string[] = [
  'subject',
  'subjectid',
  'dataSubject',
  'person',
  'email',
  'record',
  'records',
  'payload',
  'plaintext',
  'features',
  'label',
  'key',
  'keys',
  'secret',
  'salt',
  'token',
  'password',
  'authorization',
];

const refused = new Set(REDACTED_NAMES.map(normalised));

function normalised(name: string): string {
  return name.toLowerCase().replaceAll(/[_-]/g, '');
}

export const isRedacted = (name: string): boolean => refused.has(normalised(name));

const DEPTH_MAX = 6;

/**
 * A copy that is safe to write: fields of the list are replaced by '[redacted]', bytes by their length, a coded error by
 * its code and message, any other error by its class and stack frames (its message may quote the input that caused it).
 */
export function redact(value: unknown, depth = 0): unknown {
  if (value instanceof LetheError) {
    return { code: value.code, reason: value.reason, message: value.message, details: redact(value.details) };
  }
  if (value instanceof Error) return { name: value.name, at: framesOf(value) };
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= DEPTH_MAX) return '[deeper]';
  if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1));
  const out: Record<string, unknown> = {};
  for (const [name, item] of Object.entries(value)) {
    out[name] = isRedacted(name) ? '[redacted]' : redact(item, depth + 1);
  }
  return out;
}

function framesOf(error: Error): string[] {
  return (error.stack ?? '')
    .split('\n')
    .filter((line) => line.startsWith('    at '))
    .slice(0, 4)
    .map((line) => line.trim());
}
