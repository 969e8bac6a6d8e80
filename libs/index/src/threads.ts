/** Several threads for the searches of tables in shared memory. The scan itself is `SharedScan` of `@lethe/hashing`. */
import { once } from 'node:events';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { type CodeTable, HASHING, SharedScan, type TableNews } from '@lethe/hashing';

export interface SearchPoolOptions {
  /** The calling thread included, 1..8. */
  readonly threads: number;
  /** How long a thread may go on after the caller has finished its share, until it counts as lost; one second unless told. */
  readonly stallMs?: number;
}

const poolOf = new WeakMap<CodeTable, SearchPool>();

/**
 * One pool for all tables of a process. Searches of a table stay what they are, on the calling thread, which blocks and scans as well: so
 * a table cannot change under them, and what is appended, erased or replaced is seen by all at once, for the memory is the same. They
 * wake the threads through shared memory (`Atomics`), for a message costs more than the scan of 100,000 codes. Idle threads sleep and do
 * not keep the process alive. A pool is for one calling thread.
 */
export class SearchPool implements AsyncDisposable {
  readonly #scan: SharedScan;
  readonly #workers: readonly Worker[];
  readonly #ports: readonly MessagePort[];
  readonly #tables = new Map<CodeTable, number>();
  /** Tables in whose slots a lost thread may have left a query. */
  readonly #left = new Set<CodeTable>();
  #attached = 0;

  private constructor(scan: SharedScan, workers: readonly Worker[], ports: readonly MessagePort[]) {
    this.#scan = scan;
    this.#workers = workers;
    this.#ports = ports;
  }

  /** @throws LETHE-3410 the number of threads is out of range; and what a thread throws that cannot begin */
  static async start(options: SearchPoolOptions): Promise<SearchPool> {
    const scan = new SharedScan(options.threads, options.stallMs);
    const ports: MessagePort[] = [];
    const workers = Array.from({ length: options.threads - 1 }, (_, i) => {
      const { port1, port2 } = new MessageChannel();
      ports.push(port1);
      const worker = new Worker(new URL('threads-worker.ts', import.meta.url), {
        workerData: { control: scan.control, thread: i + 1, port: port2 },
        transferList: [port2],
      });
      worker.on('exit', () => scan.markLost());
      worker.on('error', () => scan.markLost());
      return worker;
    });
    const pool = new SearchPool(scan, workers, ports);
    try {
      await Promise.all(workers.map((worker) => once(worker, 'online')));
    } catch (error) {
      await pool.close();
      throw error;
    }
    for (const part of [...workers, ...ports]) part.unref();
    return pool;
  }

  /** Ids of the threads besides the caller's. */
  get threadIds(): readonly number[] {
    return this.#workers.map(({ threadId }) => threadId);
  }

  /** Whether a thread has ended, or the pool: searches by several threads throw LETHE-3413 until the table is detached. */
  get lost(): boolean {
    return this.#scan.lost;
  }

  /** From now on the table's scans are done by all threads, if there is enough to do. @throws LETHE-3410 the table is not in shared memory or on another pool; LETHE-3413 a thread has ended */
  attach(table: CodeTable): void {
    if (this.#tables.has(table)) return;
    if (this.lost) throw HASHING.SEARCH_THREAD_LOST('the pool is closed or has lost a thread');
    if (poolOf.has(table)) throw HASHING.OPTION_INVALID('the table is on another pool');
    const number = ++this.#attached;
    table.scanWith(this.#scan.over(table, number));
    this.#tables.set(table, number);
    poolOf.set(table, this);
    this.#tell({ table: number, handle: table.handle });
  }

  /** The table's scans are done by the calling thread alone again, and the threads let its memory go; a pool that is lost does so when it is closed. */
  detach(table: CodeTable): void {
    const number = this.#tables.get(table);
    if (number === undefined) return;
    table.scanWith(undefined);
    this.#tables.delete(table);
    poolOf.delete(table);
    if (this.lost) this.#left.add(table);
    this.#tell({ table: number });
  }

  /** What is in flight: queries and results, zeros between searches. For a scan of raw bytes. */
  memory(): readonly Uint8Array[] {
    return [new Uint8Array(this.#scan.control)];
  }

  /** Detaches all tables at once, ends the threads, and overwrites what they had under way. */
  async close(): Promise<void> {
    this.#scan.markLost();
    for (const table of this.#tables.keys()) this.detach(table);
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
    for (const { chunks } of this.#left) chunks.shutAll();
    this.#left.clear();
    for (const bytes of this.memory()) bytes.fill(0);
    for (const port of this.#ports) port.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #tell(news: TableNews): void {
    for (const port of this.#ports) port.postMessage(news);
    this.#scan.wake();
  }
}
