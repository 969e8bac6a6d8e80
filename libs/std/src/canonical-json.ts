import { compareBytes, hex, sha256, utf8 } from './bytes.ts';
import { STD } from './error.ts';

/**
 * RFC 8785 (JSON Canonicalization Scheme): the one form in which a value is hashed or signed.
 *
 * Members are sorted by UTF-16 code units, numbers are written as ECMAScript writes them (which is what the RFC
 * prescribes), strings escape only what JSON obliges, there is no white space, the text is UTF-8. Stricter than the RFC
 * in one point: nesting deeper than 64 is refused, so that a hostile file cannot exhaust the stack.
 */

const DEPTH_MAX = 64;

function write(value: unknown, depth: number, out: string[]): void {
  if (depth > DEPTH_MAX) throw STD.NOT_CANONICAL(`nested deeper than ${DEPTH_MAX}`);
  if (value === null || typeof value === 'boolean') {
    out.push(String(value));
  } else if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw STD.NOT_CANONICAL(`the number ${value} has no JSON form`);
    out.push(JSON.stringify(value));
  } else if (typeof value === 'string') {
    if (!value.isWellFormed()) throw STD.NOT_CANONICAL('a string holds half of a surrogate pair');
    out.push(JSON.stringify(value));
  } else if (Array.isArray(value)) {
    out.push('[');
    value.forEach((item, i) => {
      if (i > 0) out.push(',');
      write(item, depth + 1, out);
    });
    out.push(']');
  } else if (typeof value === 'object' && isPlain(value)) {
    out.push('{');
    // Array.prototype.sort without a comparator orders strings by UTF-16 code units, as the RFC asks.
    Object.keys(value)
      .sort()
      .forEach((key, i) => {
        if (i > 0) out.push(',');
        write(key, depth + 1, out);
        out.push(':');
        write((value as Readonly<Record<string, unknown>>)[key], depth + 1, out);
      });
    out.push('}');
  } else {
    throw STD.NOT_CANONICAL(`a value of type ${typeof value} has no JSON form`);
  }
}

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/**
 * @returns the canonical text
 * @throws LETHE-1003 for undefined members, NaN, infinities, bigints, lone surrogates, class instances (typed arrays
 *   too: write their numbers or their base64) and nesting deeper than 64; nothing is dropped silently
 */
export function canonicalJson(value: unknown): string {
  const out: string[] = [];
  write(value, 0, out);
  return out.join('');
}

/** SHA-256 over the canonical bytes, lower-case hex. */
export const canonicalDigest = (value: unknown): string => hex(sha256(canonicalJson(value)));

/**
 * Reads canonical bytes and nothing else: the value is parsed, written again and compared byte by byte, so duplicate
 * members, white space, a byte-order mark, another number form, integers that a double cannot hold, unsorted members and
 * invalid UTF-8 are all refused by one rule that cannot drift from the writer.
 *
 * @throws LETHE-1003 with the offset of the first byte that differs
 */
export function parseCanonicalJson(bytes: Uint8Array): unknown {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (cause) {
    throw STD.NOT_CANONICAL('the bytes are not JSON in UTF-8', { cause });
  }
  const again = utf8(canonicalJson(value));
  if (compareBytes(bytes, again) !== 0) {
    const length = Math.min(bytes.length, again.length);
    let offset = 0;
    while (offset < length && bytes[offset] === again[offset]) offset++;
    throw STD.NOT_CANONICAL(`the JSON is not in canonical form (RFC 8785) from byte ${offset} on`, {
      details: { offset },
    });
  }
  return value;
}
