/**
 * A byte scan: are any of these byte strings in any file under these directories?
 *
 * The file is read as aligned 32-bit words. Wherever a needle of at least 8 bytes lies, one of any four words that start
 * at successive offsets of it is aligned in the file; so four words of each needle (those that repeat their bytes least:
 * a run of zeros would match everywhere) go into a table, and one look per four bytes of file misses nothing. A bit
 * table decides most looks, a map of words the rest, and a comparison of the whole needle has the last word.
 */
import { type FileHandle, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { hex, type RandomSource, secureRandom, sleep } from '@lethe/std';
import { STORE } from './errors.ts';

const NEEDLE_BYTES_MIN = 8;
const WORD_BYTES = 4;
const READ_BYTES = 4 * 1024 * 1024;
const HITS_KEPT_MAX = 100;
const PIECE_BYTES = 32;

export interface Needle {
  /** What it is: `ciphertext`, `ledger-salt`, `feature-row`; findings are counted by it. */
  readonly kind: string;
  /** At least 8 bytes. */
  readonly bytes: Uint8Array;
}

export interface ScanHit {
  readonly kind: string;
  readonly file: string;
  readonly offset: number;
}

export interface ScanReport {
  readonly files: number;
  readonly bytes: number;
  /** The same per directory, in the order given. */
  readonly directories: readonly {
    readonly directory: string;
    readonly files: number;
    readonly bytes: number;
  }[];
  readonly needles: number;
  /** Occurrences by kind; a kind that was looked for and not found is there with 0. */
  readonly found: Readonly<Record<string, number>>;
  /** The first hundred. */
  readonly hits: readonly ScanHit[];
  readonly milliseconds: number;
}

/**
 * The needles for a long byte string: its first, middle and last 32 bytes, so that it is found where only a part of it
 * is left.
 */
export function piecesOf(kind: string, bytes: Uint8Array): Needle[] {
  if (bytes.length <= PIECE_BYTES) return [{ kind, bytes }];
  const starts = new Set([0, Math.floor((bytes.length - PIECE_BYTES) / 2), bytes.length - PIECE_BYTES]);
  return [...starts].map((start) => ({ kind, bytes: bytes.slice(start, start + PIECE_BYTES) }));
}

/**
 * Reads every regular file under the directories, also those that grow meanwhile (up to their end when it is reached).
 * Files that are gone before they are opened hold nothing any more and are passed over; symbolic links are not followed.
 * @throws LetheError LETHE-2207 a file or directory cannot be read; LETHE-2209
 */
export async function scan(directories: readonly string[], needles: readonly Needle[]): Promise<ScanReport> {
  const started = performance.now();
  const matcher = new Matcher(needles);
  const buffer = Buffer.alloc(READ_BYTES + matcher.longest);
  const read: { directory: string; files: number; bytes: number }[] = [];
  for (const directory of directories) {
    const here = { directory, files: 0, bytes: 0 };
    for await (const file of filesUnder(directory)) {
      const bytes = await scanFile(file, matcher, buffer);
      if (bytes === undefined) continue;
      here.files++;
      here.bytes += bytes;
    }
    read.push(here);
  }
  return {
    files: read.reduce((sum, { files }) => sum + files, 0),
    bytes: read.reduce((sum, { bytes }) => sum + bytes, 0),
    directories: read,
    needles: needles.length,
    found: matcher.found,
    hits: matcher.hits,
    milliseconds: performance.now() - started,
  };
}

async function* filesUnder(directory: string): AsyncGenerator<string> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return [];
    throw STORE.SCAN_INCOMPLETE(`${directory} cannot be listed`, {
      details: { code: cause.code ?? '' },
      cause,
    });
  });
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) yield* filesUnder(path);
    else if (entry.isFile()) yield path;
  }
}

/** @returns bytes read; undefined for a file that is gone */
async function scanFile(path: string, matcher: Matcher, buffer: Buffer): Promise<number | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw STORE.SCAN_INCOMPLETE(`${path} cannot be read`, { cause });
  }
  try {
    // What one needle less a byte can reach back is carried over, so that none is cut at the border of two reads.
    let carried = 0;
    let total = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, carried, READ_BYTES, null);
      if (bytesRead === 0) return total;
      const filled = carried + bytesRead;
      matcher.search(buffer.subarray(0, filled), carried, path, total - carried);
      total += bytesRead;
      const keep = Math.min(filled, matcher.longest - 1);
      buffer.copyWithin(0, filled - keep, filled);
      carried = keep;
    }
  } finally {
    await file.close();
  }
}

interface Anchor {
  readonly kind: string;
  readonly bytes: Buffer;
  /** Where in the needle the word starts. */
  readonly at: number;
}

class Matcher {
  readonly longest: number;
  readonly found: Record<string, number> = {};
  readonly hits: ScanHit[] = [];
  readonly #bits: Int32Array;
  readonly #shift: number;
  readonly #byWord = new Map<number, Anchor[]>();

  constructor(needles: readonly Needle[]) {
    this.longest = Math.max(NEEDLE_BYTES_MIN, ...needles.map((needle) => needle.bytes.length));
    // 16 bits for each of four words a needle: one look in 16 goes on to the map by chance.
    const log2 = Math.min(26, Math.max(16, Math.ceil(Math.log2(16 * WORD_BYTES * (needles.length + 1)))));
    this.#bits = new Int32Array(2 ** (log2 - 5));
    this.#shift = 32 - log2;
    for (const { kind, bytes } of needles) {
      if (bytes.length < NEEDLE_BYTES_MIN) {
        throw STORE.NEEDLE_TOO_SHORT(`a needle of ${bytes.length} bytes`, {
          details: { kind, bytes: bytes.length },
        });
      }
      this.found[kind] ??= 0;
      const first = anchorOf(bytes);
      for (let at = first; at < first + WORD_BYTES; at++) this.#add({ kind, bytes: Buffer.from(bytes), at });
    }
  }

  #add(anchor: Anchor): void {
    const word = wordAt(anchor.bytes, anchor.at);
    const slot = Math.imul(word, HASH) >>> this.#shift;
    this.#bits[slot >>> 5] = (this.#bits[slot >>> 5] as number) | (1 << (slot & 31));
    const same = this.#byWord.get(word);
    if (same) same.push(anchor);
    else this.#byWord.set(word, [anchor]);
  }

  /**
   * Counts the needles that end in the new part of the window, which starts at an aligned address.
   * @param carried leading bytes that an earlier window had as well @param base offset of the window in the file
   */
  search(window: Buffer, carried: number, file: string, base: number): void {
    const bits = this.#bits;
    const shift = this.#shift;
    const words = new Int32Array(window.buffer, window.byteOffset, Math.floor(window.length / WORD_BYTES));
    for (let i = 0; i < words.length; i++) {
      const word = words[i] as number;
      const slot = Math.imul(word, HASH) >>> shift;
      if (((bits[slot >>> 5] as number) >>> (slot & 31)) & 1) {
        const anchors = this.#byWord.get(word);
        if (anchors) this.#verify(anchors, window, i * WORD_BYTES, carried, file, base);
      }
    }
  }

  #verify(
    anchors: readonly Anchor[],
    window: Buffer,
    position: number,
    carried: number,
    file: string,
    base: number,
  ): void {
    for (const { kind, bytes, at } of anchors) {
      const start = position - at;
      const end = start + bytes.length;
      if (start < 0 || end > window.length || end <= carried) continue;
      if (window.compare(bytes, 0, bytes.length, start, end) !== 0) continue;
      this.found[kind] = (this.found[kind] ?? 0) + 1;
      if (this.hits.length < HITS_KEPT_MAX) this.hits.push({ kind, file, offset: base + start });
    }
  }
}

/** Knuth's multiplicative hash: 2^32 divided by the golden ratio. */
const HASH = 0x9e3779b1 | 0;

/** The word in this machine's byte order, as the typed array over the file gives it. */
function wordAt(bytes: Buffer, at: number): number {
  return ENDIAN_LITTLE ? bytes.readInt32LE(at) : bytes.readInt32BE(at);
}

const ENDIAN_LITTLE = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;

/** Start of the four words (7 bytes) with the most different values. */
function anchorOf(bytes: Uint8Array): number {
  const length = 2 * WORD_BYTES - 1;
  let best = 0;
  let bestCount = 0;
  for (let at = 0; at + length <= bytes.length && bestCount < length; at++) {
    const count = new Set(bytes.subarray(at, at + length)).size;
    if (count > bestCount) {
      best = at;
      bestCount = count;
    }
  }
  return best;
}

/** A place where a copy can be planted: a stream, a database, a log. */
export interface Plant {
  readonly store: string;
  plant(bytes: Uint8Array): Promise<void>;
  /** Removes it the way the store removes what a person left. */
  remove(): Promise<void>;
}

export interface ProvenScan {
  /** Stores in which the planted copy was found before. */
  readonly plantedFound: number;
  /** Planted copies that were still there after their removal; anything but 0 means that the store does not erase. */
  readonly plantedLeft: number;
  /** What was left of the copy planted in each store, in the order of the plants. */
  readonly plants: readonly { readonly store: string; readonly left: number }[];
  /** Of the scan after the removal. */
  readonly report: ScanReport;
}

/** Stores write behind: a planted copy is looked for until it shows, a removed one until it is gone. */
const PATIENCE_MS = 5_000;
const PLANTED = 'planted:';

/**
 * A scan that proves itself first: plant → the scan must find each copy → remove → the scan must find none, and in the
 * same pass none of the needles.
 * @throws LetheError LETHE-2208 a planted copy was not found: a scan of these directories would prove nothing
 */
export async function provenScan(
  directories: readonly string[],
  needles: readonly Needle[],
  plants: readonly Plant[],
  options: { readonly random?: RandomSource; readonly patienceMs?: number } = {},
): Promise<ProvenScan> {
  const random = options.random ?? secureRandom();
  const patienceMs = options.patienceMs ?? PATIENCE_MS;
  const planted = plants.map((plant) => ({
    plant,
    needle: { kind: `${PLANTED}${plant.store}`, bytes: random.bytes(PIECE_BYTES) },
  }));
  const markers = planted.map(({ needle }) => needle);
  for (const { plant, needle } of planted) await plant.plant(needle.bytes);
  const seen = await patiently(
    () => scan(directories, markers),
    (report) => markers.every(({ kind }) => (report.found[kind] ?? 0) > 0),
    patienceMs,
  );
  const blind = markers.find(({ kind }) => (seen.found[kind] ?? 0) === 0);
  for (const { plant } of planted) await plant.remove();
  if (blind) {
    throw STORE.SCANNER_BLIND(`the copy planted in ${blind.kind.slice(PLANTED.length)} was not found`, {
      details: { store: blind.kind.slice(PLANTED.length), marker: hex(blind.bytes).slice(0, 8) },
    });
  }
  const left = (report: ScanReport) => markers.reduce((sum, { kind }) => sum + (report.found[kind] ?? 0), 0);
  const report = await patiently(
    () => scan(directories, [...needles, ...markers]),
    (after) => left(after) === 0 && needles.every(({ kind }) => (after.found[kind] ?? 0) === 0),
    patienceMs,
  );
  return {
    plantedFound: markers.length,
    plantedLeft: left(report),
    plants: planted.map(({ plant, needle }) => ({
      store: plant.store,
      left: report.found[needle.kind] ?? 0,
    })),
    report,
  };
}

async function patiently(
  look: () => Promise<ScanReport>,
  enough: (report: ScanReport) => boolean,
  patienceMs: number,
): Promise<ScanReport> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const report = await look();
    if (enough(report) || Date.now() > deadline) return report;
    await sleep(250);
  }
}
