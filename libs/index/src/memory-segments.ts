/** Segments in memory: for tests, and for an index that is to be gone with its process. */
import { INDEX } from './errors.ts';
import type { SweepableStore } from './ports.ts';

export class MemorySegments implements SweepableStore {
  readonly #held = new Map<string, Uint8Array>();
  #next = 0;

  async put(bytes: Uint8Array, segment: number): Promise<string> {
    const reference = `${segment}.${this.#next++}`;
    this.#held.set(reference, new Uint8Array(bytes));
    return reference;
  }

  async get(reference: string): Promise<Uint8Array> {
    const bytes = this.#held.get(reference);
    if (!bytes) throw INDEX.SEGMENT_MISSING('a segment is not in memory', { details: { reference } });
    return bytes.slice();
  }

  async delete(reference: string): Promise<void> {
    this.#held.get(reference)?.fill(0);
    this.#held.delete(reference);
  }

  async *references(): AsyncGenerator<string> {
    yield* this.#held.keys();
  }
}
