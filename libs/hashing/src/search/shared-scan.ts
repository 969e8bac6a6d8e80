/**
 * One pass of several queries over a table in shared memory, by several threads at once.
 *
 * Threads claim chunks from a counter, so a thread that is late or slow costs its own share only. Each has slots of its own and ends with
 * the k best of what it has seen; the leader merges these by (distance, item id), which is a total order: the result does not
 * depend on who claimed what. A thread takes part by entering (0 -> 1); the leader shuts out (0 -> 2) whoever has not entered when no
 * chunk is left, and waits for the others (-> 3). So a thread that never comes is never missed, and one that entered and went away is
 * noticed, for its chunks are missing.
 */
import { HASHING } from '../errors.ts';
import { Best } from './best.ts';
import { CHUNK_LANES, Chunks, type ChunksHandle, QUERIES_A_PASS, SLOT_ROOM, THREADS_MAX } from './chunks.ts';
import type { CodeTable } from './table.ts';
import type { CodeSearch, Neighbour, SearchOptions } from './types.ts';

/** Words of the job, in the first page of the memory. */
const SEQUENCE = 0;
const NEXT_CHUNK = 1;
const LANES = 2;
const QUERIES = 3;
const FILTERED = 4;
const STATE = 16;

const WAITING = 0;
const ENTERED = 1;
const SHUT_OUT = 2;
const FINISHED = 3;

/** What every thread does with its slots. @returns the bests, one a query */
function scanShare(chunks: Chunks, job: Int32Array, thread: number): Best[] {
  const lanes = job[LANES]!;
  const filtered = job[FILTERED] === 1;
  const searches = Array.from({ length: job[QUERIES]! }, (_, q) => {
    const slot = Chunks.slot(thread, q);
    const best = new Best(chunks, chunks.kOf(slot), chunks.queryOf(slot));
    return { slot, best, drain: () => chunks.drain(slot, (lane, distance) => best.offer(lane, distance)) };
  });
  const count = Math.ceil(lanes / CHUNK_LANES);
  for (let chunk = Atomics.add(job, NEXT_CHUNK, 1); chunk < count; chunk = Atomics.add(job, NEXT_CHUNK, 1)) {
    for (const { slot, drain } of searches) chunks.scan(slot, chunk, lanes, filtered, drain);
  }
  for (const { drain } of searches) drain();
  return searches.map(({ best }) => best);
}

/** The loop of a worker thread; it ends when the thread is terminated. @param thread 1, 2, … (0 is the leader) */
export function serveSharedScans(handle: ChunksHandle, thread: number): never {
  const chunks = Chunks.attach(handle);
  const job = chunks.job();
  for (let seen = 0; ; ) {
    Atomics.wait(job, SEQUENCE, seen);
    seen = Atomics.load(job, SEQUENCE);
    if (Atomics.compareExchange(job, STATE + thread, WAITING, ENTERED) !== WAITING) continue;
    chunks.refresh();
    const found = scanShare(chunks, job, thread);
    for (const [q, best] of found.entries()) chunks.fill(Chunks.slot(thread, q), best.take());
    Atomics.store(job, STATE + thread, FINISHED);
    Atomics.notify(job, STATE + thread);
  }
}

/** The caller's side: it scans too, and blocks until all have finished, so nothing changes under a search. */
export class SharedScan implements CodeSearch {
  readonly #table: CodeTable;
  readonly #threads: number;
  readonly #stallMs: number;
  #lost = false;

  /** @param threads the caller included, 1..8  @param stallMs how long a thread that has entered may take after the caller is done  @throws LETHE-3410 */
  constructor(table: CodeTable, threads: number, stallMs = 10_000) {
    if (!table.shared) throw HASHING.OPTION_INVALID('the table is not in shared memory');
    if (!Number.isInteger(threads) || threads < 1 || threads > THREADS_MAX) {
      throw HASHING.OPTION_INVALID(`threads is not within 1..${THREADS_MAX}`);
    }
    this.#table = table;
    this.#threads = threads;
    this.#stallMs = stallMs;
    const job = table.chunks.job();
    for (let thread = 1; thread < THREADS_MAX; thread++) Atomics.store(job, STATE + thread, SHUT_OUT);
  }

  /** From now on every search throws. */
  markLost(): void {
    this.#lost = true;
  }

  /** @throws LETHE-3413 besides what the table throws */
  search(query: Uint8Array, k: number, options: SearchOptions = {}): Neighbour[] {
    this.#table.checkQuery(query);
    return this.searchAll(query, k, options)[0]!;
  }

  /** More than 1,792 neighbours are found by the caller's thread alone. @throws LETHE-3413 besides what the table throws */
  searchAll(queries: Uint8Array, k: number, options: SearchOptions = {}): Neighbour[][] {
    this.#check();
    if (!Number.isInteger(k) || k < 1 || k > SLOT_ROOM) return this.#table.searchAll(queries, k, options);
    const list = this.#table.queriesOf(queries);
    if (options.filter) this.#table.chunks.setFilter(options.filter, this.#table.lanes);
    const out: Neighbour[][] = [];
    for (let from = 0; from < list.length; from += QUERIES_A_PASS) {
      out.push(...this.#pass(list.slice(from, from + QUERIES_A_PASS), k, options.filter !== undefined));
    }
    return out;
  }

  /** By the caller's thread alone: results are not bounded, and so fit no slot. */
  range(query: Uint8Array, hammingRadius: number, options: SearchOptions = {}): Neighbour[] {
    this.#check();
    return this.#table.range(query, hammingRadius, options);
  }

  #check(): void {
    if (this.#lost) throw HASHING.SEARCH_THREAD_LOST('a search thread has ended');
  }

  #pass(queries: readonly Uint8Array[], k: number, filtered: boolean): Neighbour[][] {
    const { chunks } = this.#table;
    const job = chunks.job();
    for (let thread = 0; thread < this.#threads; thread++) {
      for (const [q, query] of queries.entries()) {
        chunks.open(Chunks.slot(thread, q), query, k, this.#table.codeBits);
      }
    }
    job[LANES] = this.#table.lanes;
    job[QUERIES] = queries.length;
    job[FILTERED] = Number(filtered);
    Atomics.store(job, NEXT_CHUNK, 0);
    for (let thread = 1; thread < this.#threads; thread++) Atomics.store(job, STATE + thread, WAITING);
    Atomics.add(job, SEQUENCE, 1);
    Atomics.notify(job, SEQUENCE);
    const found = scanShare(chunks, job, 0);
    for (let thread = 1; thread < this.#threads; thread++) {
      if (Atomics.compareExchange(job, STATE + thread, WAITING, SHUT_OUT) === WAITING) continue;
      if (Atomics.wait(job, STATE + thread, ENTERED, this.#stallMs) === 'timed-out') {
        this.markLost();
        this.#check();
      }
      for (const [q, best] of found.entries()) {
        chunks.drain(Chunks.slot(thread, q), (lane, distance) => best.offer(lane, distance));
      }
    }
    for (let thread = 0; thread < this.#threads; thread++) {
      for (const q of queries.keys()) chunks.shut(Chunks.slot(thread, q));
    }
    return found.map((best) => this.#table.neighbours(best));
  }
}
