/**
 * Small questions that come close together are answered by one run of the graph. A run has a fixed number of rows and costs the same for one of them as
 * for all, so that sixty-four callers with a row each need one run and not sixty-four.
 */
export interface MicroBatchOptions {
  /** Values of a row of the question, and of the answer. */
  readonly columns: number;
  readonly classes: number;
  /** Rows at which a run starts without waiting longer; a question of so many rows goes alone. */
  readonly rowsMax: number;
  /** How long the first of a batch waits for others. */
  readonly windowMs: number;
  /** @param matrix [rows, columns] @returns [rows, classes] */
  readonly run: (matrix: Float32Array) => Promise<Float32Array>;
}

interface Question {
  readonly matrix: Float32Array;
  readonly answer: (logits: Float32Array) => void;
  readonly fail: (error: unknown) => void;
}

export class MicroBatch {
  readonly #options: MicroBatchOptions;
  #waiting: Question[] = [];
  #rows = 0;
  #timer: NodeJS.Timeout | undefined;
  #runs: Promise<void> = Promise.resolve();

  constructor(options: MicroBatchOptions) {
    this.#options = options;
  }

  /** @param matrix [rows, columns] @returns [rows, classes] @throws what the run throws, to everyone who shared it */
  ask(matrix: Float32Array): Promise<Float32Array> {
    const { columns, rowsMax, windowMs } = this.#options;
    const rows = matrix.length / columns;
    if (rows >= rowsMax) return this.#options.run(matrix);
    if (this.#rows + rows > rowsMax) this.#start();
    const { promise, resolve: answer, reject: fail } = Promise.withResolvers<Float32Array>();
    this.#waiting.push({ matrix, answer, fail });
    this.#rows += rows;
    if (this.#rows === rowsMax) this.#start();
    else this.#timer ??= setTimeout(() => this.#start(), windowMs);
    return promise;
  }

  /** Answers everyone who waits. */
  async flush(): Promise<void> {
    this.#start();
    await this.#runs;
  }

  #start(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#waiting.length === 0) return;
    const questions = this.#waiting;
    const rows = this.#rows;
    this.#waiting = [];
    this.#rows = 0;
    const run = this.#answer(questions, rows);
    this.#runs = this.#runs.then(() => run);
  }

  async #answer(questions: readonly Question[], rows: number): Promise<void> {
    const { columns, classes, run } = this.#options;
    try {
      const matrix = new Float32Array(rows * columns);
      let at = 0;
      for (const question of questions) {
        matrix.set(question.matrix, at);
        at += question.matrix.length;
      }
      const logits = await run(matrix);
      let first = 0;
      for (const question of questions) {
        const length = (question.matrix.length / columns) * classes;
        question.answer(logits.slice(first, first + length));
        first += length;
      }
    } catch (error) {
      for (const question of questions) question.fail(error);
    }
  }
}
