/**
 * Sealing: AES-256-GCM with a random 96-bit nonce.
 *
 *     sealed := "LS" version(1) nonce(12) ciphertext tag(16)
 *     associated data := "LS" version length(binding)(u32, big endian) binding
 *
 * The binding says what the bytes are (`records/acme/digits/alias`): sealed bytes moved to another place do not open.
 * Random nonces are safe for 2^32 seals under one key; a subject's key seals that subject's records.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { assert, concatBytes, type RandomSource, secureRandom, utf8 } from '@lethe/std';
import { STORE } from './errors.ts';

const MAGIC = utf8('LS');
const VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEADER_BYTES = MAGIC.length + 1;

export const KEY_BYTES = 32;
/** What sealing adds. */
export const SEAL_OVERHEAD_BYTES = HEADER_BYTES + NONCE_BYTES + TAG_BYTES;

const nonces = secureRandom();

/** @param key 32 bytes @param random for tests that need the same bytes twice; default the operating system's */
export function seal(
  key: Uint8Array,
  plaintext: Uint8Array,
  binding: string,
  random: RandomSource = nonces,
): Uint8Array {
  assert(key.length === KEY_BYTES, `a key has ${KEY_BYTES} bytes, not ${key.length}`);
  const nonce = random.bytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(associated(binding));
  const ciphertext = cipher.update(plaintext);
  cipher.final();
  return concatBytes(MAGIC, Uint8Array.of(VERSION), nonce, ciphertext, cipher.getAuthTag());
}

/** @throws LetheError LETHE-2205 not sealed bytes; LETHE-2206 another key, another binding, or changed */
export function open(key: Uint8Array, sealed: Uint8Array, binding: string): Uint8Array {
  assert(key.length === KEY_BYTES, `a key has ${KEY_BYTES} bytes, not ${key.length}`);
  const known = sealed.length >= SEAL_OVERHEAD_BYTES && sealed[0] === MAGIC[0] && sealed[1] === MAGIC[1];
  if (!known || sealed[2] !== VERSION) {
    throw STORE.SEAL_UNKNOWN('these bytes are not sealed', {
      details: { bytes: sealed.length, version: known ? (sealed[2] ?? 0) : 0 },
    });
  }
  const body = sealed.subarray(HEADER_BYTES);
  const decipher = createDecipheriv('aes-256-gcm', key, body.subarray(0, NONCE_BYTES));
  decipher.setAAD(associated(binding));
  decipher.setAuthTag(body.subarray(body.length - TAG_BYTES));
  try {
    const plaintext = decipher.update(body.subarray(NONCE_BYTES, body.length - TAG_BYTES));
    decipher.final();
    return new Uint8Array(plaintext.buffer, plaintext.byteOffset, plaintext.byteLength);
  } catch (cause) {
    throw STORE.SEAL_BROKEN('sealed bytes do not open', { cause });
  }
}

function associated(binding: string): Uint8Array {
  const bytes = utf8(binding);
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, bytes.length);
  return concatBytes(MAGIC, Uint8Array.of(VERSION), length, bytes);
}
