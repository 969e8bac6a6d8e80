/**
 * Dead letters: what a consumer could not handle, as a pointer to the message with the reason. The payload stays where
 * it is. A dead letter is handled again by the consumer that gave it up, and by no other: a request on that consumer's
 * replay subject makes it fetch the message and run its handler.
 */
import { randomUUID } from 'node:crypto';
import { utf8 } from '@lethe/std';
import type { Bus, StoredMessage } from './bus.ts';
import { EVENTS } from './errors.ts';
import { deadLetterSubject, replaySubject, STREAMS } from './subjects.ts';

export interface DeadLetter {
  readonly consumer: string;
  /** Where the message is. */
  readonly stream: string;
  readonly sequence: number;
  readonly eventId: string;
  readonly eventType: string;
  readonly attempts: number;
  /** `LETHE-nnnn`; LETHE-1002 for an error that is not coded, whose text stays out. */
  readonly code: string;
  readonly message: string;
  readonly timeMs: number;
}

export interface ListedDeadLetter extends DeadLetter {
  /** Its own number in the dead letter stream: what `replayDeadLetter` takes. */
  readonly number: number;
}

export interface ReplayRequest {
  readonly stream: string;
  readonly sequence: number;
  readonly deadLetter: number;
}

/** Stores a dead letter. The caller ends the delivery only after this returned. */
export async function putDeadLetter(bus: Bus, letter: DeadLetter): Promise<void> {
  await bus.append(STREAMS.deadLetters, deadLetterSubject(letter.consumer), {
    // A crash between this and the end of the delivery gives the letter up again, as the same one.
    id: `${letter.consumer}:${letter.stream}:${letter.sequence}:${letter.attempts}`,
    data: utf8(JSON.stringify(letter)),
  });
}

/** Oldest first; of one consumer where given. */
export async function* listDeadLetters(
  bus: Bus,
  options: { readonly consumer?: string } = {},
): AsyncGenerator<ListedDeadLetter> {
  const filter = options.consumer === undefined ? 'lethe.dead.v1.*' : deadLetterSubject(options.consumer);
  for await (const message of bus.read(STREAMS.deadLetters, filter)) yield parse(message);
}

/**
 * Asks the consumer to handle the message again; it removes the dead letter when its handler succeeds.
 * @throws LetheError LETHE-2015
 */
export async function replayDeadLetter(bus: Bus, number: number): Promise<ListedDeadLetter> {
  const message = await bus.get(STREAMS.deadLetters, number);
  if (!message?.subject.startsWith('lethe.dead.')) {
    throw EVENTS.DEAD_LETTER_NOT_FOUND(`there is no dead letter ${number}`, { details: { number } });
  }
  const letter = parse(message);
  const request: ReplayRequest = { stream: letter.stream, sequence: letter.sequence, deadLetter: number };
  await bus.append(STREAMS.deadLetters, replaySubject(letter.consumer), {
    id: randomUUID(),
    data: utf8(JSON.stringify(request)),
  });
  return letter;
}

/** Removes a dead letter without handling it. @throws LetheError LETHE-2015 */
export async function dropDeadLetter(bus: Bus, number: number): Promise<void> {
  const message = await bus.get(STREAMS.deadLetters, number);
  if (!message?.subject.startsWith('lethe.dead.')) {
    throw EVENTS.DEAD_LETTER_NOT_FOUND(`there is no dead letter ${number}`, { details: { number } });
  }
  await bus.deleteMessageSecurely(STREAMS.deadLetters, number);
}

function parse(message: StoredMessage): ListedDeadLetter {
  const letter = JSON.parse(new TextDecoder().decode(message.data)) as DeadLetter;
  return { ...letter, number: message.sequence };
}
