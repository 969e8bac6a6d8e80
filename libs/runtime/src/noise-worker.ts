import { Worker } from 'node:worker_threads';
import { drawNoiseKey, type NoiseGrid, PRIVACY, type PrivacyRandomness, type RunMode } from '@lethe/privacy';
import { assert } from '@lethe/std';
import { RUNTIME } from './errors.ts';
import { blockViews, type NoiseBlock, type NoiseThreadData } from './noise-block.ts';

export interface NoiseWorkerOptions {
  /** Gives the run's key, once; the thread has it from then on, and nobody else. */
  readonly randomness: PrivacyRandomness;
  readonly grid: NoiseGrid;
  /** Number of values of each parameter. */
  readonly lengths: readonly number[];
  /** Steps made in advance, each 4 bytes a value; one more block is with the caller. Default 2. */
  readonly ahead?: number;
}

/**
 * Makes the noise of the next steps on a thread of its own while a step runs: noise does not depend on data.
 *
 * Blocks are moved between the threads, not shared: giving a block back for the next step detaches it, so views that somebody kept are empty and fail,
 * and can never show the noise of another step. If the thread dies, so does the run: there is no other source to fall back to.
 */
export class NoiseWorker {
  /** Of the randomness that the key came from. */
  readonly mode: RunMode;
  readonly #worker: Worker;
  readonly #lengths: readonly number[];
  readonly #ready: NoiseBlock[] = [];
  #waiting:
    | { readonly resolve: (block: NoiseBlock) => void; readonly reject: (error: Error) => void }
    | undefined;
  #given: ArrayBuffer | undefined;
  #next = 0;
  #ended: Error | undefined;

  private constructor(worker: Worker, lengths: readonly number[], mode: RunMode) {
    this.mode = mode;
    this.#worker = worker;
    this.#lengths = lengths;
    worker.on('message', (block: NoiseBlock) => this.#arrived(block));
    worker.on('error', (cause) => this.#end(RUNTIME.NOISE_LOST('the noise thread failed', { cause })));
    worker.on('exit', () => this.#end(RUNTIME.NOISE_LOST('the noise thread ended')));
    // Only a caller that waits keeps the process alive.
    worker.unref();
  }

  /** Starts the thread; a failure shows at the first `next`. */
  static start({ randomness, grid, lengths, ahead = 2 }: NoiseWorkerOptions): NoiseWorker {
    assert(Number.isInteger(ahead) && ahead >= 1, `${ahead} steps ahead is not a positive count`);
    const key = drawNoiseKey(randomness);
    const workerData: NoiseThreadData = { key, grid: { ...grid }, lengths: [...lengths], blocks: ahead + 1 };
    const worker = new Worker(new URL('./noise-thread.ts', import.meta.url), { workerData });
    key.fill(0);
    return new NoiseWorker(worker, lengths, randomness.mode);
  }

  /**
   * The noise of a step, in the order of `lengths`: multiples of half the grid's spacing, to be added to a sum that was rounded to the grid.
   * Valid until the next call, which takes the block back.
   * @param step 0, 1, 2, …, each once: counted from the start of this worker, whose key no other run has
   * @throws LETHE-3311 another step than the next one; LETHE-3065 the thread died; LETHE-3064 closed
   */
  async next(step: number): Promise<readonly Float32Array<ArrayBuffer>[]> {
    if (this.#ended) throw this.#ended;
    if (step !== this.#next || this.#waiting) {
      throw PRIVACY.NOISE_REUSED(`the noise of step ${step} was asked for; the next one is ${this.#next}`);
    }
    this.#next += 1;
    if (this.#given) this.#worker.postMessage(this.#given, [this.#given]);
    this.#given = undefined;
    const block = this.#ready.shift() ?? (await this.#wait());
    assert(block.step === step, `the noise thread made step ${block.step} in the place of ${step}`);
    this.#given = block.buffer;
    return blockViews(block.buffer, this.#lengths);
  }

  /** Ends the thread; a caller that waits is refused. Noise that was made and not asked for is forgotten with its key. */
  async close(): Promise<void> {
    this.#end(RUNTIME.CLOSED('the noise worker was closed'));
    await this.#worker.terminate();
  }

  #wait(): Promise<NoiseBlock> {
    this.#worker.ref();
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  #arrived(block: NoiseBlock): void {
    if (this.#waiting) {
      this.#waiting.resolve(block);
      this.#waiting = undefined;
      this.#worker.unref();
    } else this.#ready.push(block);
  }

  #end(reason: Error): void {
    this.#ended ??= reason;
    this.#ready.length = 0;
    this.#waiting?.reject(this.#ended);
    this.#waiting = undefined;
  }
}
