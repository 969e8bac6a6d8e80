/**
 * Looks for what an erasure must have taken away: codes, salts and ids of the erased items, lane by lane in every column of every
 * segment (in memory and as the store gives it back, and anywhere in what else the store holds) and in the search table. Before it looks, it plants: a scan that does not find
 * what was put there proves nothing.
 *
 * Two things are no residue. The ledger keeps the id of an erased entry, in the ids column of its segment, at its row, marked as
 * erased. And another item may have the same code: K bits are not a name. (A code of zeros cannot be told from an overwritten one.)
 *
 * Bytes that are not at a lane (in a log, in a partial file, in another process) are the business of the raw scan of the disk.
 */
import { HASHING, SEGMENT_ROWS, Segment } from '@lethe/hashing';
import { equalBytes, isError } from '@lethe/std';
import type { CodeIndex } from './code-index.ts';
import { INDEX } from './errors.ts';
import type { SearchTable, SweepableStore } from './ports.ts';

/** What an item leaves to look for; taken before the erasure. */
export interface ErasedNeedle {
  /** Leaf and lane of the item. */
  readonly index: number;
  readonly itemId: Uint8Array;
  readonly code: Uint8Array;
  readonly salt: Uint8Array;
}

export interface Residue {
  readonly ids: number;
  readonly codes: number;
  readonly salts: number;
}

export interface ResidueReport {
  /** Copies planted, of every needle's every kind, and found. */
  readonly planted: number;
  readonly lanes: number;
  readonly inMemory: Residue;
  readonly inStore: Residue;
  readonly inTable: Residue;
}

/** @throws LETHE-3408 */
export function needlesOf(index: CodeIndex, itemIds: readonly Uint8Array[]): ErasedNeedle[] {
  return itemIds.flatMap((itemId) => {
    const entry = index.entry(itemId);
    return entry.kind === 'live' ? [entry] : [];
  });
}

/**
 * @param newTable makes an empty table of the index's kind, for planting  @param store all that it holds, also what no manifest names:
 * a segment whose deletion failed, a partial file
 * @throws LETHE-2611 a planted copy was not found  @throws LETHE-2601, LETHE-2602
 */
export async function scanForResidue(
  index: CodeIndex,
  needles: readonly ErasedNeedle[],
  {
    newTable,
    store,
  }: { readonly newTable: (codeBits: number) => SearchTable; readonly store: SweepableStore },
): Promise<ResidueReport> {
  const sought = new Sought(needles);
  const planted = plantInSegment(sought, index) + plantInTable(sought, newTable(index.codeBits));
  const segments = index.segments();
  const stored: Residue[] = [];
  const references = new Set(index.manifest().segments.map(({ reference }) => reference));
  const named = references.size;
  for await (const reference of store.references()) references.add(reference);
  for (const [i, reference] of [...references].entries()) {
    const bytes = await store.get(reference);
    const segment = i < named ? Segment.decode(bytes) : segmentIn(bytes);
    stored.push(segment ? sought.inSegment(segment) : sought.anywhereIn(bytes));
    segment?.wipe();
    bytes.fill(0);
  }
  const table = index.table;
  const holders = (code: Uint8Array): number[] => table.lanesHolding(code);
  // A spare lane has nothing to hold.
  const isLive = (lane: number): boolean =>
    lane < index.size && !segments[Math.floor(lane / SEGMENT_ROWS)]!.isErased(lane % SEGMENT_ROWS);
  return {
    planted,
    lanes: index.size,
    inMemory: segments.map((segment) => sought.inSegment(segment)).reduce(sum, NOTHING),
    inStore: stored.reduce(sum, NOTHING),
    inTable: {
      ids: sought.idsIn(table.memory()),
      codes: sought.coded.filter(({ code, index: own }) =>
        holders(code).some((lane) => lane === own || !isLive(lane)),
      ).length,
      salts: sought.saltsIn(table.memory()),
    },
  };
}

const NOTHING: Residue = { ids: 0, codes: 0, salts: 0 };
const sum = (a: Residue, b: Residue): Residue => ({
  ids: a.ids + b.ids,
  codes: a.codes + b.codes,
  salts: a.salts + b.salts,
});

const hasCode = ({ code }: ErasedNeedle): boolean => code.some((byte) => byte !== 0);

/** Byte strings of one width, found at the lanes of a column by one look each. */
class Lanes {
  readonly #width: number;
  readonly #byPrefix = new Map<number, Uint8Array[]>();

  constructor(needles: readonly Uint8Array[]) {
    this.#width = needles[0]?.length ?? 1;
    for (const needle of needles) {
      const prefix = this.#prefix(needle, 0);
      this.#byPrefix.set(prefix, [...(this.#byPrefix.get(prefix) ?? []), needle]);
    }
  }

  count(column: Uint8Array, counts: (row: number) => boolean): number {
    let found = 0;
    for (let row = 0; (row + 1) * this.#width <= column.length; row++) {
      const at = row * this.#width;
      const likely = this.#byPrefix.get(this.#prefix(column, at));
      if (likely === undefined) continue;
      const lane = column.subarray(at, at + this.#width);
      if (likely.some((needle) => equalBytes(needle, lane)) && counts(row)) found++;
    }
    return found;
  }

  #prefix(bytes: Uint8Array, at: number): number {
    let prefix = 0;
    for (let i = 0; i < Math.min(4, this.#width); i++) prefix = (prefix << 8) | bytes[at + i]!;
    return prefix;
  }
}

class Sought {
  readonly needles: readonly ErasedNeedle[];
  /** Those whose code can be told from zeros. */
  readonly coded: readonly ErasedNeedle[];
  readonly #ids: Lanes;
  readonly #codes: Lanes;
  readonly #salts: Lanes;
  /** Rows by number of their segment: there no code and no salt may be, whoever else has the same. */
  readonly #rows: ReadonlyMap<number, ReadonlySet<number>>;

  constructor(needles: readonly ErasedNeedle[]) {
    this.needles = needles;
    this.coded = needles.filter(hasCode);
    this.#ids = new Lanes(needles.map(({ itemId }) => itemId));
    this.#codes = new Lanes(this.coded.map(({ code }) => code));
    this.#salts = new Lanes(needles.map(({ salt }) => salt));
    const rows = new Map<number, Set<number>>();
    for (const { index } of needles) {
      const number = Math.floor(index / SEGMENT_ROWS);
      rows.set(number, (rows.get(number) ?? new Set()).add(index % SEGMENT_ROWS));
    }
    this.#rows = rows;
  }

  inSegment(segment: Segment): Residue {
    const { ids, codes, salts } = segment.columns;
    const own = this.#rows.get(segment.shape.number);
    return {
      ids: this.#ids.count(ids, (row) => !segment.isErased(row)),
      codes: this.#codes.count(codes, (row) => own?.has(row) === true || segment.isErased(row)),
      salts: this.#salts.count(salts, () => true),
    };
  }

  /** In bytes that are no segment, wherever they are: nothing excuses them there. */
  anywhereIn(given: Uint8Array): Residue {
    const bytes = Buffer.from(given.buffer, given.byteOffset, given.byteLength);
    return {
      ids: this.needles.filter(({ itemId }) => bytes.indexOf(itemId) !== -1).length,
      codes: this.coded.filter(({ code }) => bytes.indexOf(code) !== -1).length,
      salts: this.needles.filter(({ salt }) => bytes.indexOf(salt) !== -1).length,
    };
  }

  idsIn(memory: readonly Uint8Array[]): number {
    return memory.reduce((count, bytes) => count + this.#ids.count(bytes, () => true), 0);
  }

  saltsIn(memory: readonly Uint8Array[]): number {
    return memory.reduce((count, bytes) => count + this.#salts.count(bytes, () => true), 0);
  }
}

/** @returns nothing for bytes that are no segment, such as a part of one */
function segmentIn(bytes: Uint8Array): Segment | undefined {
  try {
    // Decoding may overwrite what it is given.
    return Segment.decode(new Uint8Array(bytes));
  } catch (error) {
    if (!isError(error, HASHING.SEGMENT_MALFORMED)) throw error;
  }
}

/** A segment that still has everything is what the scan must see. @returns copies planted  @throws LETHE-2611 */
function plantInSegment(sought: Sought, { codeBits }: CodeIndex): number {
  const { needles } = sought;
  let planted = 0;
  for (let from = 0; from < needles.length; from += SEGMENT_ROWS) {
    const part = needles.slice(from, from + SEGMENT_ROWS);
    const rows = part.length;
    const withCode = part.filter(hasCode).length;
    const all = (of: (needle: ErasedNeedle) => Uint8Array): Uint8Array => Buffer.concat(part.map(of));
    const segment = Segment.appended(
      undefined,
      { codeBits, classes: 0, number: 0 },
      {
        ids: all(({ itemId }) => itemId),
        codes: all(({ code }) => code),
        salts: all(({ salt }) => salt),
        fnVersions: new Uint32Array(rows),
        modalities: new Uint8Array(rows),
        labels: new Uint8Array(0),
        owners: new Uint32Array(rows),
        aliases: ['planted'],
      },
    );
    // Where the rows are those of erased entries, their codes count too.
    segment.columns.erasedBits.fill(255);
    const { codes, salts } = sought.inSegment(segment);
    segment.columns.erasedBits.fill(0);
    const { ids } = sought.inSegment(segment);
    segment.wipe();
    if (ids !== rows || codes !== withCode || salts !== rows) throw blind('a segment');
    planted += 2 * rows + withCode;
  }
  return planted;
}

/** @returns copies planted  @throws LETHE-2611 */
function plantInTable(sought: Sought, table: SearchTable): number {
  const { needles } = sought;
  if (needles.length === 0) return 0;
  table.addAll(
    Buffer.concat(needles.map(({ itemId }) => itemId)),
    Buffer.concat(needles.map(({ code }) => code)),
  );
  const seen = needles.every(
    (needle, lane) => !hasCode(needle) || table.lanesHolding(needle.code).includes(lane),
  );
  const ids = sought.idsIn(table.memory());
  for (const bytes of table.memory()) bytes.fill(0);
  if (!seen || ids < needles.length) throw blind('a search table');
  return needles.length + sought.coded.length;
}

const blind = (where: string) =>
  INDEX.SCANNER_BLIND(`copies of codes, salts or ids planted in ${where} were not found`);
