import { randomBytes } from 'node:crypto';
import { ITEM_ID_BYTES } from '@lethe/hashing';

const WORDS = ITEM_ID_BYTES / 4;

/** Chosen anew by each process: ids come from outside, and must not be able to pile up in one place of a table. */
const KEY = new Uint32Array(new Uint8Array(randomBytes(4 * WORDS)).buffer);

/** Item id → number, in typed arrays by open addressing: 20 bytes an item at half load, and no object for each. Ids are public. */
export class IdMap {
  #size = 0;
  #keys = new Uint32Array(0);
  /** Number + 1; 0 is an empty slot. */
  #values = new Uint32Array(0);
  readonly #probe = new Uint32Array(WORDS);
  readonly #probeBytes = new Uint8Array(this.#probe.buffer);

  get size(): number {
    return this.#size;
  }

  /** @returns the number, or -1 */
  get(ids: Uint8Array, row = 0): number {
    return this.#size === 0 ? -1 : this.#values[this.#slotOf(ids, row)]! - 1;
  }

  /** @param value 0..2^32-2  @returns false, and nothing is changed, where the id is there */
  add(ids: Uint8Array, row: number, value: number): boolean {
    if (2 * (this.#size + 1) > this.#values.length) this.#grow();
    const slot = this.#slotOf(ids, row);
    if (this.#values[slot] !== 0) return false;
    this.#keys.set(this.#probe, slot * WORDS);
    this.#values[slot] = value + 1;
    this.#size++;
    return true;
  }

  /** Takes the id out and leaves no copy of it. @returns false where it was not there */
  remove(ids: Uint8Array, row = 0): boolean {
    if (this.#size === 0) return false;
    let hole = this.#slotOf(ids, row);
    if (this.#values[hole] === 0) return false;
    const mask = this.#values.length - 1;
    // Whoever was pushed past the hole by it moves back (Knuth, volume 3, section 6.4, algorithm R).
    for (let slot = (hole + 1) & mask; this.#values[slot] !== 0; slot = (slot + 1) & mask) {
      this.#probe.set(this.#keys.subarray(slot * WORDS, (slot + 1) * WORDS));
      const home = this.#home();
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue;
      this.#keys.copyWithin(hole * WORDS, slot * WORDS, (slot + 1) * WORDS);
      this.#values[hole] = this.#values[slot]!;
      hole = slot;
    }
    this.#keys.fill(0, hole * WORDS, (hole + 1) * WORDS);
    this.#probe.fill(0);
    this.#values[hole] = 0;
    this.#size--;
    return true;
  }

  /** All memory that holds ids. */
  memory(): readonly Uint8Array[] {
    return [new Uint8Array(this.#keys.buffer)];
  }

  /** The slot that has the id, or the empty one where it would be; `#probe` has the id afterwards. */
  #slotOf(ids: Uint8Array, row: number): number {
    const at = row * ITEM_ID_BYTES;
    for (let i = 0; i < ITEM_ID_BYTES; i++) this.#probeBytes[i] = ids[at + i]!;
    return this.#find();
  }

  #find(): number {
    const [a, b, c, d] = this.#probe as unknown as readonly [number, number, number, number];
    const keys = this.#keys;
    const mask = this.#values.length - 1;
    for (let slot = this.#home(); ; slot = (slot + 1) & mask) {
      if (this.#values[slot] === 0) return slot;
      const key = slot * WORDS;
      if (keys[key] === a && keys[key + 1] === b && keys[key + 2] === c && keys[key + 3] === d) return slot;
    }
  }

  /** Where the id of `#probe` would be in an empty table. */
  #home(): number {
    const probe = this.#probe;
    let hash = Math.imul(probe[0]! ^ KEY[0]!, 0x85eb_ca6b) ^ KEY[1]!;
    hash = Math.imul((hash ^ (hash >>> 15)) + probe[1]!, 0xc2b2_ae35) ^ KEY[2]!;
    hash = Math.imul((hash ^ (hash >>> 13)) + probe[2]!, 0x27d4_eb2f) ^ KEY[3]!;
    hash = Math.imul((hash ^ (hash >>> 16)) + probe[3]!, 0x1656_67b1);
    return (hash ^ (hash >>> 15)) & (this.#values.length - 1);
  }

  #grow(): void {
    const [keys, values] = [this.#keys, this.#values];
    const slots = Math.max(64, 2 * values.length);
    this.#keys = new Uint32Array(slots * WORDS);
    this.#values = new Uint32Array(slots);
    for (let old = 0; old < values.length; old++) {
      if (values[old] === 0) continue;
      this.#probe.set(keys.subarray(old * WORDS, (old + 1) * WORDS));
      const slot = this.#find();
      this.#keys.set(this.#probe, slot * WORDS);
      this.#values[slot] = values[old]!;
    }
    keys.fill(0);
    this.#probe.fill(0);
  }
}
