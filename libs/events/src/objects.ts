/**
 * Content-addressed objects in chunks on the bus: one subject per object, one message per chunk, the address is SHA-256
 * of the bytes. Not NATS' own object store, because its delete is a purge, which leaves the bytes on disk; here every
 * chunk is an ordinary message and is overwritten (`deleteMessageSecurely`).
 */
import { randomUUID } from 'node:crypto';
import { concatBytes, hex, sha256 } from '@lethe/std';
import type { Bus } from './bus.ts';
import { EVENTS } from './errors.ts';
import { objectSubject, STREAMS } from './subjects.ts';

/** A quarter of the usual payload limit: few enough messages, and room for servers with a lower limit. */
const CHUNK_BYTES = 256 * 1024;
const CHUNK_HEADER = 'lethe-chunk';
/** Chunks that are overwritten at a time. */
const DELETING = 8;

export class ObjectStore {
  readonly #bus: Bus;

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  /** Stores the bytes, or finds them stored; a put that was cut short is completed. @returns the address, hex SHA-256 */
  async put(tenant: string, bytes: Uint8Array): Promise<string> {
    const digest = hex(sha256(bytes));
    const subject = objectSubject(tenant, digest);
    const count = chunkCount(bytes.length);
    const present = new Set<number>();
    for await (const message of this.#bus.read(STREAMS.artefacts, subject, { large: true })) {
      present.add(Number(message.headers[CHUNK_HEADER]));
    }
    const missing = Array.from({ length: count }, (_, index) => index).filter((index) => !present.has(index));
    await this.#bus.appendMany(
      STREAMS.artefacts,
      missing.map((index) => ({
        subject,
        message: {
          // Erased and stored again within the duplicate window must store again: the id is of this put.
          id: `${digest}:${index}:${randomUUID()}`,
          headers: { [CHUNK_HEADER]: String(index), 'lethe-chunks': String(count) },
          data: bytes.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES),
        },
      })),
    );
    return digest;
  }

  /** @throws LetheError LETHE-2014 not there; LETHE-2013 the bytes do not have their address */
  async get(tenant: string, digest: string): Promise<Uint8Array> {
    const chunks = new Map<number, Uint8Array>();
    let count = 0;
    for await (const message of this.#bus.read(STREAMS.artefacts, objectSubject(tenant, digest), {
      large: true,
    })) {
      const index = Number(message.headers[CHUNK_HEADER]);
      count = Number(message.headers['lethe-chunks']);
      if (!chunks.has(index)) chunks.set(index, message.data);
      if (chunks.size === count) break;
    }
    if (chunks.size === 0 || chunks.size < count) {
      throw EVENTS.OBJECT_NOT_FOUND('there is no whole object at this address', {
        details: { digest, chunks: chunks.size, expected: count },
      });
    }
    const bytes = concatBytes(...[...chunks].sort(([a], [b]) => a - b).map(([, chunk]) => chunk));
    if (hex(sha256(bytes)) !== digest) {
      throw EVENTS.OBJECT_CORRUPT('the object does not have its address as digest', { details: { digest } });
    }
    return bytes;
  }

  /** Overwrites every chunk. @returns how many; 0 where there was no such object */
  async delete(tenant: string, digest: string): Promise<number> {
    const sequences: number[] = [];
    const subject = objectSubject(tenant, digest);
    for await (const { sequence } of this.#bus.read(STREAMS.artefacts, subject, { headersOnly: true })) {
      sequences.push(sequence);
    }
    for (let at = 0; at < sequences.length; at += DELETING) {
      const some = sequences.slice(at, at + DELETING);
      await Promise.all(some.map((sequence) => this.#bus.deleteMessageSecurely(STREAMS.artefacts, sequence)));
    }
    return sequences.length;
  }
}

/** An empty object is one empty chunk, so that it exists. */
function chunkCount(length: number): number {
  return Math.max(1, Math.ceil(length / CHUNK_BYTES));
}
