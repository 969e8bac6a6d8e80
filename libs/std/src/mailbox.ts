/**
 * A queue between producers that do not wait and one consumer that does, for both directions of a stream. It has no bound:
 * use it where a protocol bounds what may be under way.
 */
export class Mailbox<T> implements AsyncIterable<T> {
  readonly #items: T[] = [];
  #ended = false;
  #wake: (() => void) | undefined;

  /** Nothing happens once it has ended. */
  push(item: T): void {
    if (this.#ended) return;
    this.#items.push(item);
    this.#wake?.();
  }

  /** What was pushed before is still delivered. */
  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** The oldest item, waiting for one. @returns undefined after the end, or when nothing came within `timeoutMs` */
  async next(timeoutMs?: number): Promise<T | undefined> {
    if (this.#items.length === 0 && !this.#ended) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((done) => {
        this.#wake = done;
        if (timeoutMs !== undefined) timer = setTimeout(done, timeoutMs);
      });
      clearTimeout(timer);
      this.#wake = undefined;
    }
    return this.#items.shift();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const item = await this.next();
      if (item === undefined) return;
      yield item;
    }
  }
}
