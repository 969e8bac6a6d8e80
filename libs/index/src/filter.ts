/** Filters as bits by lane, made once and kept while the index stays as it is; an answer is over before the next one is asked for. */
import { labelBytes, SEGMENT_ROWS, type Segment } from '@lethe/hashing';

import type { SearchFilter } from './types.ts';

const KEPT = 16;
/** Up to so many aliases are looked for in a segment's text; for more, its aliases are read as strings and kept. */
const SOUGHT = 16;

export class LaneFilters {
  readonly #kept: {
    readonly key: string;
    readonly excluded: ReadonlySet<string> | undefined;
    readonly items: ReadonlySet<number> | undefined;
    readonly bits: Uint8Array;
  }[] = [];

  /** To be called whenever an entry is added or changed. Overwrites the bits: they tell what an erased entry was. */
  reset(): void {
    for (const { bits } of this.#kept.splice(0)) bits.fill(0);
  }

  /** @returns bits by lane, to be used before the next call; nothing if the filter lets all pass */
  bits(filter: SearchFilter | undefined, segments: readonly Segment[], size: number): Uint8Array | undefined {
    if (filter === undefined) return undefined;
    const { modalities, labelsAny, labelsAll, fnVersions, excludedOwners } = filter;
    const excluded = excludedOwners?.size === 0 ? undefined : excludedOwners;
    const items = filter.excludedItems?.size === 0 ? undefined : filter.excludedItems;
    const conditions = [modalities, labelsAny, labelsAll, fnVersions];
    if (
      excluded === undefined &&
      items === undefined &&
      conditions.every((condition) => condition === undefined)
    )
      return undefined;
    // A set may grow between two searches: its size is part of the key. One that lost and gained members must be a new set.
    const key = JSON.stringify([...conditions.map((condition) => condition ?? null), excluded?.size ?? 0]);
    const known = this.#kept.find(
      (kept) => kept.key === key && kept.excluded === excluded && kept.items === items,
    );
    if (known) return known.bits;
    const bits = new Uint8Array(Math.ceil(size / 8));
    for (const [number, segment] of segments.entries()) {
      mark(segment, filter, excluded, bits.subarray((number * SEGMENT_ROWS) / 8));
    }
    for (const index of items ?? []) if (index < size) bits[index >> 3]! &= ~(1 << (index & 7));
    this.#kept.unshift({ key, excluded, items, bits });
    for (const evicted of this.#kept.splice(KEPT)) evicted.bits.fill(0);
    return bits;
  }
}

/** Sets the bits of the segment's rows that pass. */
function mark(
  segment: Segment,
  { modalities, labelsAny, labelsAll, fnVersions }: SearchFilter,
  excluded: ReadonlySet<string> | undefined,
  bits: Uint8Array,
): void {
  const { columns, shape } = segment;
  const width = labelBytes(shape.classes);
  const wanted = labelsAny && maskOf(labelsAny, shape.classes);
  const required = labelsAll && maskOf(labelsAll, shape.classes);
  // A label that is not declared is on no item: asked for alone it finds nothing, asked for with others it makes them impossible.
  const impossible = labelsAll?.some((label) => !isClass(label, shape.classes)) ?? false;
  const inModality = modalities && new Set(modalities);
  const inVersion = fnVersions && new Set(fnVersions);
  const out = excluded && ownersOut(segment, excluded);
  if (impossible) return;
  for (let row = 0; row < shape.rows; row++) {
    if (inModality && !inModality.has(columns.modalities[row]!)) continue;
    if (inVersion && !inVersion.has(columns.fnVersions[row]!)) continue;
    if (out?.[columns.owners[row]!] === 1) continue;
    if (wanted && !anySet(columns.labels, row * width, wanted)) continue;
    if (required && !allSet(columns.labels, row * width, required)) continue;
    bits[row >> 3]! |= 1 << (row & 7);
  }
}

const isClass = (label: number, classes: number): boolean =>
  Number.isInteger(label) && label >= 0 && label < classes;

function maskOf(labels: readonly number[], classes: number): Uint8Array {
  const mask = new Uint8Array(labelBytes(classes));
  for (const label of labels) if (isClass(label, classes)) mask[label >> 3]! |= 1 << (label & 7);
  return mask;
}

function anySet(labels: Uint8Array, at: number, mask: Uint8Array): boolean {
  for (let i = 0; i < mask.length; i++) if ((labels[at + i]! & mask[i]!) !== 0) return true;
  return false;
}

function allSet(labels: Uint8Array, at: number, mask: Uint8Array): boolean {
  for (let i = 0; i < mask.length; i++) if ((labels[at + i]! & mask[i]!) !== mask[i]) return false;
  return true;
}

/** By number of the alias: 1 if the person is left out. */
function ownersOut(segment: Segment, excluded: ReadonlySet<string>): Uint8Array {
  // An erased row has owner 0 and no alias perhaps; its lane is never found.
  const out = new Uint8Array(Math.max(1, segment.shape.aliases));
  if (excluded.size > SOUGHT) {
    for (const [i, alias] of segment.aliases.entries()) if (excluded.has(alias)) out[i] = 1;
    return out;
  }
  for (const alias of excluded) {
    const index = segment.aliasIndex(alias);
    if (index >= 0) out[index] = 1;
  }
  return out;
}
