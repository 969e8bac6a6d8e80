/**
 * Searches over tables in shared memory, by several threads at once.
 *
 * A job is work for all: few queries, of which each thread scans some of the chunks (**by rows**: the answer to one query comes sooner), or
 * many queries, of which each thread takes some over all chunks (**by queries**: nothing is merged, and a thread learns early how near the
 * nearest are, so that it keeps fewer candidates). Shares are claimed from a counter, so a thread that is late or slow costs its own share
 * only. By rows the leader merges the threads' k best by (distance, item id), which is a total order: the result does not depend on who
 * claimed what.
 *
 * A thread takes part by entering (0 -> 1); the leader shuts out (0 -> 2) whoever has not entered when no share is left, and waits for
 * the others (-> 3). So a thread that never comes is never missed. One that entered and failed says so (-> 4), for the leader blocks its event
 * loop and would not hear of its end; one that can say nothing any more (out of memory, terminated) is given up after a while.
 *
 * Who waits asks again and again for some 100 us before it sleeps, for waking a sleeping thread takes about as long: 10 to 100 us where
 * the processor is a virtual one.
 *
 *     control   | words: the job | queries [512, 32] | results: a list for each query (by rows: of each thread)
 *                 1 KiB            16 KiB              a list is u32 count, then count times u32 lane, u32 distance
 */
/// <reference lib="esnext.sharedmemory" />
import { HASHING } from '../errors.ts';
import { Best, type Candidate, type TableScan } from './best.ts';
import { Chunks, type ChunksHandle, QUERIES_A_PASS, THREADS_MAX } from './chunks.ts';
import { type Pass, scanPass } from './pass.ts';
import type { CodeTable } from './table.ts';

/** Words of the job. */
const SEQUENCE = 0;
const TABLE = 1;
const BY_ROWS = 2;
const NEXT = 3;
const QUERIES = 4;
const K = 5;
const LIMIT = 6;
const LANES = 7;
const FILTERED = 8;
const THREADS = 9;
const STATE = 16;

const WAITING = 0;
const ENTERED = 1;
const SHUT_OUT = 2;
const FINISHED = 3;
const FAILED = 4;

const QUERY_BYTES = 32;
const QUERIES_A_JOB = 512;
const QUERIES_AT = 1_024;
const RESULTS_AT = QUERIES_AT + QUERIES_A_JOB * QUERY_BYTES;
/** Neighbours of a query that a list holds. */
const K_MAX = 1_792;
const listWords = (k: number): number => 1 + 2 * k;

/** Looks at a word before sleeping; one takes some 40 ns. */
const LOOKS = 2_500;
/** Bytes of codes to compare, all queries together, from which on it is worth the threads' attention: some 50 us of one thread. */
const WORTHWHILE = 1_000_000;
/** Queries of a job from which on it is split by queries. */
const MANY = 2 * QUERIES_A_PASS;

/** Sleeps until the word is another than `value`. @returns false when the time is over */
function awaitChange(words: Int32Array, at: number, value: number, ms = Number.POSITIVE_INFINITY): boolean {
  for (let looks = 0; looks < LOOKS; looks++) {
    if (Atomics.load(words, at) !== value) return true;
    Atomics.pause();
  }
  return Atomics.wait(words, at, value, ms) !== 'timed-out';
}

/** The job as one of its threads sees it. */
class Job {
  readonly words: Int32Array;
  readonly #queries: Uint8Array;
  readonly #results: Int32Array;

  constructor(control: SharedArrayBuffer) {
    this.words = new Int32Array(control, 0, QUERIES_AT / 4);
    this.#queries = new Uint8Array(control, QUERIES_AT, QUERIES_A_JOB * QUERY_BYTES);
    this.#results = new Int32Array(control, RESULTS_AT);
  }

  /** Queries of at most so many neighbours for which there is room, when each has `lists` lists. */
  room(k: number, lists: number): number {
    return Math.min(QUERIES_A_JOB, Math.floor(this.#results.length / listWords(k) / lists));
  }

  write(queries: readonly Uint8Array[]): void {
    for (const [q, query] of queries.entries()) this.#queries.set(query, q * QUERY_BYTES);
  }

  put(list: number, found: readonly Candidate[]): void {
    let at = list * listWords(this.words[K]!);
    this.#results[at++] = found.length;
    for (const { lane, distance } of found) {
      this.#results[at++] = lane;
      this.#results[at++] = distance;
    }
  }

  list(list: number): Candidate[] {
    const from = list * listWords(this.words[K]!);
    return Array.from({ length: this.#results[from]! }, (_, i) => ({
      lane: this.#results[from + 2 * i + 1]!,
      distance: this.#results[from + 2 * i + 2]!,
    }));
  }

  /** Nothing of queries and results stays. */
  clear(): void {
    const lists = this.words[QUERIES]! * (this.words[BY_ROWS] === 1 ? this.words[THREADS]! : 1);
    this.#queries.fill(0, 0, this.words[QUERIES]! * QUERY_BYTES);
    this.#results.fill(0, 0, lists * listWords(this.words[K]!));
  }

  /** A thread's part of the work; its results are put into their lists. */
  work(chunks: Chunks, thread: number): void {
    const { words } = this;
    // Views, no copies: a thread's heap is nowhere overwritten.
    const pass = (from: number, to: number): Pass => ({
      queries: Array.from({ length: to - from }, (_, i) =>
        this.#queries.subarray((from + i) * QUERY_BYTES, (from + i) * QUERY_BYTES + chunks.codeBytes),
      ),
      k: words[K]!,
      limit: words[LIMIT]!,
      lanes: words[LANES]!,
      filtered: words[FILTERED] === 1,
    });
    const count = words[QUERIES]!;
    if (words[BY_ROWS] === 1) {
      const found = scanPass(chunks, thread, pass(0, count), () => Atomics.add(words, NEXT, 1));
      for (const [q, list] of found.entries()) this.put(thread * count + q, list);
      return;
    }
    for (;;) {
      const from = Atomics.load(words, NEXT);
      if (from === count) return;
      // Smaller and smaller, so that all end at about the same time; by fours, as they are scanned.
      const share = 4 * Math.ceil((count - from) / (8 * words[THREADS]!));
      const to = Math.min(count, from + Math.min(QUERIES_A_PASS, share));
      if (Atomics.compareExchange(words, NEXT, from, to) !== from) continue;
      let chunk = 0;
      for (const [i, list] of scanPass(chunks, thread, pass(from, to), () => chunk++).entries()) {
        this.put(from + i, list);
      }
    }
  }
}

/** Tells a thread of a table: its memory, or that it is no longer searched. */
export interface TableNews {
  readonly table: number;
  readonly handle?: ChunksHandle;
}

/**
 * The loop of a worker thread; it ends when the thread is terminated.
 * @param thread 1, 2, … (0 is the leader)  @param news what has come since the last call, one at a time
 */
export function serveSharedScans(
  control: SharedArrayBuffer,
  thread: number,
  news: () => TableNews | undefined,
): never {
  const job = new Job(control);
  const { words } = job;
  const tables = new Map<number, Chunks>();
  const hear = () => {
    for (let item = news(); item; item = news()) {
      if (item.handle) tables.set(item.table, Chunks.attach(item.handle));
      else tables.delete(item.table);
    }
  };
  for (let seen = 0; ; ) {
    awaitChange(words, SEQUENCE, seen);
    seen = Atomics.load(words, SEQUENCE);
    hear();
    if (Atomics.compareExchange(words, STATE + thread, WAITING, ENTERED) !== WAITING) continue;
    let state = FAILED;
    try {
      // Since the news were heard the job may have become another one, over a table of which they were too early to tell.
      hear();
      const chunks = tables.get(words[TABLE]!)!;
      chunks.refresh();
      job.work(chunks, thread);
      state = FINISHED;
    } finally {
      Atomics.store(words, STATE + thread, state);
      Atomics.notify(words, STATE + thread);
    }
  }
}

/** The leader's side: it scans too, and blocks until all have finished, so nothing changes under a search. */
export class SharedScan {
  /** For `serveSharedScans` in the other threads. */
  readonly control: SharedArrayBuffer;
  readonly #threads: number;
  readonly #stallMs: number;
  readonly #job: Job;
  #lost = false;

  /** @param threads the caller included, 1..8  @param stallMs how long a thread that has entered may take after the caller is done; one second unless told  @throws LETHE-3410 */
  constructor(threads: number, stallMs = 1_000) {
    if (!Number.isInteger(threads) || threads < 1 || threads > THREADS_MAX) {
      throw HASHING.OPTION_INVALID(`threads is not within 1..${THREADS_MAX}`);
    }
    this.control = new SharedArrayBuffer(RESULTS_AT + 4 * threads * QUERIES_A_PASS * listWords(K_MAX));
    this.#threads = threads;
    this.#stallMs = stallMs;
    this.#job = new Job(this.control);
    for (let thread = 1; thread < THREADS_MAX; thread++)
      Atomics.store(this.#job.words, STATE + thread, SHUT_OUT);
  }

  /** Whether a thread is lost. */
  get lost(): boolean {
    return this.#lost;
  }

  /** From now on every search by the threads throws; what is left to the table's own thread goes on. */
  markLost(): void {
    this.#lost = true;
  }

  /** Wakes the threads, to read their news. */
  wake(): void {
    Atomics.add(this.#job.words, SEQUENCE, 1);
    Atomics.notify(this.#job.words, SEQUENCE);
  }

  /**
   * What to give to `table.scanWith`. More than 1,792 neighbours a query, and little work, are left to the table's own thread.
   * @param number under which the threads know the table  @throws LETHE-3410 the table is not in shared memory
   */
  over(table: CodeTable, number: number): TableScan {
    if (!table.shared) throw HASHING.OPTION_INVALID('the table is not in shared memory');
    return (queries, k, limit, filtered) => {
      const work = queries.length * table.lanes * (table.codeBits / 8);
      if (k > K_MAX || work < WORTHWHILE) return undefined;
      this.#check();
      const { words } = this.#job;
      words[TABLE] = number;
      words[K] = k;
      words[LIMIT] = limit;
      words[LANES] = table.lanes;
      words[FILTERED] = Number(filtered);
      words[THREADS] = this.#threads;
      const byRows = queries.length < MANY;
      words[BY_ROWS] = Number(byRows);
      const atOnce = byRows ? QUERIES_A_PASS : this.#job.room(k, 1);
      const out: Candidate[][] = [];
      for (let from = 0; from < queries.length; from += atOnce) {
        out.push(...this.#run(table.chunks, queries.slice(from, from + atOnce)));
      }
      return out;
    };
  }

  #check(): void {
    if (this.#lost) throw HASHING.SEARCH_THREAD_LOST('a search thread has ended');
  }

  #run(chunks: Chunks, queries: readonly Uint8Array[]): Candidate[][] {
    const job = this.#job;
    const { words } = job;
    job.write(queries);
    words[QUERIES] = queries.length;
    Atomics.store(words, NEXT, 0);
    for (let thread = 1; thread < this.#threads; thread++) Atomics.store(words, STATE + thread, WAITING);
    this.wake();
    job.work(chunks, 0);
    const worked = [0];
    for (let thread = 1; thread < this.#threads; thread++) {
      if (Atomics.compareExchange(words, STATE + thread, WAITING, SHUT_OUT) === WAITING) continue;
      const isOver = awaitChange(words, STATE + thread, ENTERED, this.#stallMs);
      if (!isOver || Atomics.load(words, STATE + thread) === FAILED) {
        this.markLost();
        this.#check();
      }
      worked.push(thread);
    }
    const found = queries.map((query, q) => {
      if (words[BY_ROWS] === 0 || worked.length === 1) return job.list(q);
      const best = new Best(chunks, words[K]!, query);
      for (const thread of worked) {
        for (const { lane, distance } of job.list(thread * queries.length + q)) best.offer(lane, distance);
      }
      return best.take();
    });
    job.clear();
    return found;
  }
}
