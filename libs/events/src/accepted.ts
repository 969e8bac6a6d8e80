import type { Bus, StoredMessage } from './bus.ts';
import { readEnvelope } from './event.ts';

const REMEMBERED_MAX = 20_000;

/**
 * Answers for a consumer what the fold answers for a reader: is this event the first of its version on its subject? A
 * consumer sees events one by one, so it remembers the last accepted of each aggregate and reads the subject where it
 * has no memory (after a restart, or when another process of the same durable took the events between).
 */
export class AcceptedVersions {
  readonly #bus: Bus;
  readonly #last = new Map<string, { version: number; sequence: number }>();

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  async isAccepted(message: StoredMessage): Promise<boolean> {
    const { version } = readEnvelope(message);
    const known = this.#last.get(message.subject) ?? (version === 1 ? await this.#fold(message) : undefined);
    if (known && message.sequence === known.sequence) return true;
    if (known && message.sequence > known.sequence && version <= known.version) return false;
    if (known && message.sequence > known.sequence && version === known.version + 1) {
      this.#remember(message.subject, { version, sequence: message.sequence });
      return true;
    }
    return (await this.#fold(message)).sequence === message.sequence;
  }

  /** The last accepted event of the subject up to and including this message. */
  async #fold(message: StoredMessage): Promise<{ version: number; sequence: number }> {
    let last = { version: 0, sequence: 0 };
    for await (const earlier of this.#bus.read(message.stream, message.subject, {
      toSequence: message.sequence,
    })) {
      const { version } = readEnvelope(earlier);
      if (version === last.version + 1) last = { version, sequence: earlier.sequence };
    }
    const known = this.#last.get(message.subject);
    if (!known || known.sequence < last.sequence) this.#remember(message.subject, last);
    return last;
  }

  #remember(subject: string, last: { version: number; sequence: number }): void {
    this.#last.delete(subject);
    this.#last.set(subject, last);
    if (this.#last.size > REMEMBERED_MAX) this.#last.delete(this.#last.keys().next().value as string);
  }
}
