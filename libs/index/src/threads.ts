/** Several threads for the searches of one table in shared memory. The scan itself is `SharedScan` of `@lethe/hashing`. */
import { Worker } from 'node:worker_threads';
import {
  type CodeSearch,
  type CodeTable,
  type Neighbour,
  type SearchOptions,
  SharedScan,
} from '@lethe/hashing';

export interface SearchPoolOptions {
  /** The calling thread included, 1..8. */
  readonly threads: number;
  /** How long a thread may go on after the caller has finished its share, until it counts as lost; 10 seconds unless told. */
  readonly stallMs?: number;
}

/**
 * Searches block the caller, which scans as well, so a table cannot change under them; they wake the threads through the shared
 * memory (`Atomics`), for a message costs more than the scan of 100,000 codes. Idle threads sleep and do not keep the process alive. Not
 * to be used together with searches of the table itself from another thread.
 */
export class SearchPool implements CodeSearch, AsyncDisposable {
  readonly #scan: SharedScan;
  readonly #workers: readonly Worker[];

  private constructor(scan: SharedScan, workers: readonly Worker[]) {
    this.#scan = scan;
    this.#workers = workers;
  }

  /** One pool a table at a time. @throws LETHE-3410 the table is not shared, or the number of threads is out of range */
  static async start(table: CodeTable, options: SearchPoolOptions): Promise<SearchPool> {
    const scan = new SharedScan(table, options.threads, options.stallMs);
    const workers = Array.from({ length: options.threads - 1 }, (_, i) => {
      const workerData = { handle: table.handle, thread: i + 1 };
      const worker = new Worker(new URL('threads-worker.ts', import.meta.url), { workerData });
      worker.on('exit', () => scan.markLost());
      worker.on('error', () => scan.markLost());
      return worker;
    });
    await Promise.all(workers.map((worker) => new Promise((online) => worker.once('online', online))));
    for (const worker of workers) worker.unref();
    return new SearchPool(scan, workers);
  }

  /** Ids of the threads besides the caller's. */
  get threadIds(): readonly number[] {
    return this.#workers.map(({ threadId }) => threadId);
  }

  /** @throws LETHE-3413 a thread is lost; else as the table */
  search(query: Uint8Array, k: number, options?: SearchOptions): Neighbour[] {
    return this.#scan.search(query, k, options);
  }

  /** @throws LETHE-3413 a thread is lost; else as the table */
  searchAll(queries: Uint8Array, k: number, options?: SearchOptions): Neighbour[][] {
    return this.#scan.searchAll(queries, k, options);
  }

  /** On the calling thread alone. @throws LETHE-3413 a thread is lost; else as the table */
  range(query: Uint8Array, hammingRadius: number, options?: SearchOptions): Neighbour[] {
    return this.#scan.range(query, hammingRadius, options);
  }

  /** Ends the threads; later searches throw. */
  async close(): Promise<void> {
    this.#scan.markLost();
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
