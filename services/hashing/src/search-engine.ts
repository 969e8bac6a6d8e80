/**
 * How this process searches its indexes: by the thread that answers; from `pooledFrom` bytes of codes on by several threads over shared memory; from
 * `tabledFrom` on with a multi-index beside the scan, if a measurement on the codes says that it is faster. Answers are the same bytes
 * in the same order, so none of this is part of a function's state, and replicas may differ in it.
 *
 * Filters, masks and radius go with each search, whichever way it takes. The threads work on the table's own memory, which an erasure
 * overwrites and the memory scan reads; they keep nothing of their own. A thread that ends costs the search under way its time and no answer: the
 * tables are searched by one thread until new ones are there.
 */
import { availableParallelism } from 'node:os';
import { CodeTable, HASHING, type Neighbour, type SearchOptions, type SearchPlan } from '@lethe/hashing';
import { type CodeIndex, SearchPool } from '@lethe/index';
import { LetheError, type Logger } from '@lethe/std';
import type { Turns } from './context.ts';

export interface SearchSettings {
  /** Threads of a search, the answering one included; default the machine's, at most 8. 1: no others. */
  readonly threads?: number;
  /**
   * Bytes of codes of an index from which several threads search it. Threads that sleep take 0.1 ms to wake, so below some 4 MB a single search
   * is slower with them. Default 8,000,000: a million codes of 64 bits, 250,000 of 256.
   */
  readonly pooledFrom?: number;
  /** Size of an index from which a multi-index is tried; building it stops answers for about a third of a second a million codes. Default 1,000,000. */
  readonly tabledFrom?: number;
  /** How long after the loss of a thread new ones are started; default 10 s. */
  readonly restartMs?: number;
  /** How long an index serves before its multi-index is built, so that a row of changes builds one; default 2 s. */
  readonly settleMs?: number;
}

const THREADS_MAX = 8;
const POOLED_FROM = 8_000_000;
const TABLED_FROM = 1_000_000;
const SETTLE_MS = 2_000;
const RESTART_MS = 10_000;

const { code: THREAD_LOST } = HASHING.SEARCH_THREAD_LOST('');

/** A table that is searched by its own thread where others are lost. */
class EngineTable extends CodeTable {
  readonly #onLost: () => void;

  constructor(codeBits: number, shared: boolean, onLost: () => void) {
    super(codeBits, { shared });
    this.#onLost = onLost;
  }

  override searchAll(queries: Uint8Array, k: number, options?: SearchOptions): Neighbour[][] {
    return this.#aloneIfLost(() => super.searchAll(queries, k, options));
  }

  override calibrate(nowMs: () => number): SearchPlan | undefined {
    return this.#aloneIfLost(() => super.calibrate(nowMs));
  }

  #aloneIfLost<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof LetheError) || error.code !== THREAD_LOST) throw error;
      this.#onLost();
      return work();
    }
  }
}

export class SearchEngine {
  readonly #turns: Turns;
  readonly #logger: Logger;
  readonly #threads: number;
  readonly #pooledFrom: number;
  readonly #tabledFrom: number;
  readonly #settleMs: number;
  readonly #restartMs: number;
  /** Tables of indexes that serve, with what is to come for them. */
  readonly #serving = new Map<
    EngineTable,
    { isPooled: boolean; isLarge: boolean; timer: NodeJS.Timeout | undefined }
  >();
  #pool: SearchPool | undefined;
  #starting: Promise<SearchPool | undefined> | undefined;
  /** Of pools that were lost. */
  #closing: Promise<unknown> | undefined;
  #restart: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(turns: Turns, logger: Logger, settings: SearchSettings = {}) {
    this.#turns = turns;
    this.#logger = logger;
    this.#threads = settings.threads ?? Math.min(THREADS_MAX, availableParallelism());
    this.#pooledFrom = settings.pooledFrom ?? POOLED_FROM;
    this.#tabledFrom = settings.tabledFrom ?? TABLED_FROM;
    this.#settleMs = settings.settleMs ?? SETTLE_MS;
    this.#restartMs = settings.restartMs ?? RESTART_MS;
  }

  /** Makes the table of an index: `CodeIndexOptions.table`. */
  readonly table = (codeBits: number): CodeTable =>
    new EngineTable(codeBits, this.#threads > 1, () => this.#lost());

  /** The index answers from now on. To be called again for every version on it: it may have grown. */
  serve({ table, size }: Pick<CodeIndex, 'table' | 'size'>): void {
    if (this.#closed || !(table instanceof EngineTable)) return;
    const state = this.#serving.get(table) ?? { isPooled: false, isLarge: false, timer: undefined };
    this.#serving.set(table, state);
    state.isLarge = this.#threads > 1 && (size * table.codeBits) / 8 >= this.#pooledFrom;
    if (state.isLarge) void this.#attach(table);
    if (size < this.#tabledFrom || table.plan !== undefined) return;
    clearTimeout(state.timer);
    state.timer = setTimeout(() => void this.#calibrate(table), this.#settleMs).unref();
  }

  /** The index answers no more: nobody here holds on to its memory. */
  release({ table }: Pick<CodeIndex, 'table'>): void {
    if (!(table instanceof EngineTable)) return;
    const state = this.#serving.get(table);
    clearTimeout(state?.timer);
    if (state?.isPooled) this.#pool?.detach(table);
    this.#serving.delete(table);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#restart);
    for (const { timer } of this.#serving.values()) clearTimeout(timer);
    this.#serving.clear();
    const pool = await this.#starting;
    this.#pool = undefined;
    await Promise.all([pool?.close(), this.#closing]);
  }

  async #attach(table: EngineTable): Promise<void> {
    this.#starting ??= this.#start();
    const starting = this.#starting;
    const pool = await starting;
    const state = this.#serving.get(table);
    // Another one may have taken its place; whoever has put it there attaches all tables.
    if (pool === undefined || starting !== this.#starting) return;
    if (this.#closed || !state || state.isPooled) return;
    this.#pool = pool;
    if (pool.lost) return this.#lost();
    pool.attach(table);
    state.isPooled = true;
  }

  /** Not before the lost threads have ended: they may still write into the slots that the new ones use. */
  async #start(): Promise<SearchPool | undefined> {
    try {
      await this.#closing;
      return await SearchPool.start({ threads: this.#threads });
    } catch (error) {
      this.#starting = undefined;
      this.#logger.warn('search threads could not be started; one thread searches', { error });
      this.#startLater();
      return undefined;
    }
  }

  #startLater(): void {
    if (this.#closed) return;
    clearTimeout(this.#restart);
    this.#restart = setTimeout(() => {
      for (const [table, { isLarge }] of this.#serving) if (isLarge) void this.#attach(table);
    }, this.#restartMs).unref();
  }

  /** On its own turn, for it stops everything else. */
  async #calibrate(table: EngineTable): Promise<void> {
    await this.#turns.next();
    if (!this.#serving.has(table)) return;
    try {
      const plan = table.calibrate(() => performance.now());
      this.#logger.info('the way to search an index was measured', {
        via: plan?.via ?? 'scan',
        codes: table.lanes,
      });
    } catch (error) {
      this.#logger.warn('the way to search an index could not be measured; it is scanned', { error });
    }
  }

  /** All tables are searched by one thread from here on, until new threads are there. */
  #lost(): void {
    const pool = this.#pool;
    this.#pool = undefined;
    this.#starting = undefined;
    this.#logger.warn('a search thread has ended; one thread searches until new ones are there');
    for (const state of this.#serving.values()) state.isPooled = false;
    this.#startLater();
    // At once every table is its own thread's; what the lost threads had under way is overwritten once they have ended.
    const ended = pool?.close().catch((error: unknown) => {
      this.#logger.warn('search threads could not be ended', { error });
    });
    this.#closing = Promise.all([this.#closing, ended]);
  }
}
