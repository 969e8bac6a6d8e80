/** How answers, progress and errors look. */
import { hex, LetheError } from '@lethe/std';
import type { CliIo } from './io.ts';

/** A value of `JSON.parse`. */
export type Plain = string | number | boolean | null | readonly Plain[] | { readonly [key: string]: Plain };

/** Enums of a message by the name of their field, each with the prefix that its names share. */
export type Enums = Readonly<Record<string, readonly [Readonly<Record<string, number>>, string]>>;

/**
 * A message as JSON: enums by name, times in RFC 3339, bytes in hex, integers as numbers where a double holds them and as text
 * above, a oneof as the one that is set.
 */
export function plain(value: unknown, enums: Enums = {}, field = ''): Plain {
  const known = enums[field];
  if (known && typeof value === 'number') {
    const [table, prefix] = known;
    const name = Object.keys(table).find((key) => table[key] === value);
    return name?.replace(prefix, '') ?? value;
  }
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  if (value instanceof Uint8Array) return hex(value);
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map((item) => plain(item, enums));
  if (typeof value !== 'object' || value === null) return null;
  if ('$case' in value && 'value' in value && typeof value.$case === 'string') {
    return { [value.$case]: plain(value.value, enums) };
  }
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(entries.map(([key, item]) => [key, plain(item, enums, key)]));
}

/** Control characters of an answer must not reach a terminal. */
export const printable = (text: string): string => text.replace(/\p{Cc}/gu, ' ');

const LONG = 1_000;

/** Proofs and plans are documents of their own: a page shows that they are there. */
const short = (text: string): string =>
  text.length <= LONG ? text : `(${text.length} characters, shown with --json)`;

const isEmpty = (value: Plain): boolean =>
  value === null ||
  value === '' ||
  (typeof value === 'object' && Object.values(value).every((item) => isEmpty(item)));

/** Indented `key: value` lines for people; what is empty is left out. */
export function text(value: Plain, indent = ''): string {
  if (typeof value !== 'object' || value === null) return `${indent}${printable(String(value))}\n`;
  if (Array.isArray(value)) {
    const items = value as readonly Plain[];
    return items.map((item) => text(item, `${indent}  `).replace(`${indent}  `, `${indent}- `)).join('');
  }
  return Object.entries(value)
    .filter(([, item]) => !isEmpty(item))
    .map(([key, item]) => {
      if (Array.isArray(item) && item.every((one) => typeof one !== 'object')) {
        return `${indent}${key}: ${printable(item.join(', '))}\n`;
      }
      return typeof item === 'object'
        ? `${indent}${key}:\n${text(item, `${indent}  `)}`
        : `${indent}${key}: ${printable(short(String(item)))}\n`;
    })
    .join('');
}

export function print(io: CliIo, json: boolean, value: Plain): void {
  io.out(json ? `${JSON.stringify(value, null, 2)}\n` : text(value));
}

/** One error as the user sees it: what, then what to do. */
export function describe(error: LetheError): string {
  const remedy = error.remedy === '' ? '' : `  ${printable(error.remedy)}\n`;
  const facts = Object.entries(error.details)
    .filter(([key, value]) => !error.message.includes(String(value)) && key !== 'path')
    .map(([key, value]) => `${key} ${value}`);
  const details = facts.length > 0 ? `  (${printable(facts.join(', '))})\n` : '';
  return `${printable(error.message)}\n${details}${remedy}`;
}

/** Anything that was thrown: coded errors without their stack, our own bugs with it. */
export function report(io: CliIo, error: unknown): void {
  if (error instanceof LetheError) io.err(describe(error));
  else io.err(`This is a defect of Lethe: ${error instanceof Error ? error.stack : String(error)}\n`);
}

const INTERVAL_MS = 1_000;

/** Progress on stderr: at most a line a second, and each new phase at once. */
export class Progress {
  readonly #io: CliIo;
  #shown = '';
  #phase: string | undefined;
  #atMs = Number.NEGATIVE_INFINITY;

  constructor(io: CliIo) {
    this.#io = io;
  }

  show(phase: string, done?: number | bigint, total?: number | bigint): void {
    const nowMs = performance.now();
    const share = total ? ` ${done}/${total}` : '';
    const line = printable(`${phase}${share}`);
    if (line === this.#shown) return;
    if (this.#io.errIsTerminal) this.#io.err(`\r\u001b[2K${line}`);
    else if (phase !== this.#phase || nowMs - this.#atMs >= INTERVAL_MS) {
      this.#io.err(`${line}\n`);
      this.#atMs = nowMs;
    }
    this.#shown = line;
    this.#phase = phase;
  }

  end(): void {
    if (this.#io.errIsTerminal && this.#shown !== '') this.#io.err('\r\u001b[2K');
    this.#shown = '';
  }
}
