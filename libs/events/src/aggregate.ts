/**
 * Aggregates as folds of their own events.
 *
 * A writer proposes by appending with the expected last subject sequence; **the fold decides**: of the events on one
 * subject, the first of each version counts and any later one of that version is ignored, by every reader alike. The
 * writer reads its event back and only then is it accepted. So one history results even from a broker that lets two
 * racing appends through, and correctness rests on no window, lock or lease.
 *
 * Past a number of events a snapshot (state, version, digest, ids of the events since the one before) is written as an
 * event of its own version; every later event names its sequence in a header, so that a reader needs the last message
 * and what follows the snapshot.
 */
import { randomUUID } from 'node:crypto';
import {
  assert,
  type Clock,
  hex,
  isError,
  type RandomSource,
  secureRandom,
  sha256,
  sleep,
  systemClock,
  utf8,
} from '@lethe/std';
import type { Bus, StoredMessage } from './bus.ts';
import { EVENTS } from './errors.ts';
import {
  decodeEvent,
  type EventDefinition,
  type EventOf,
  envelope,
  type NewEventOf,
  readEnvelope,
} from './event.ts';
import { type AggregateAddress, aggregateSubject, STREAMS } from './subjects.ts';

export const SNAPSHOT_TYPE = 'lethe.snapshot';
const SNAPSHOT_EVERY = 1_000;
/** Rounds of reload and retry before a writer gives up; the pauses between them add up to about 10 s. */
const ROUNDS_MAX = 25;
const CACHED_MAX = 2_000;

export interface AggregateDefinition<State, Definition extends EventDefinition> {
  /** Singular, kebab case: the token in its subjects. */
  readonly type: string;
  readonly events: readonly Definition[];
  initial(id: string): State;
  /** Pure: no clock, randomness or I/O, and the given state stays as it is (it has been handed out). */
  fold(state: State, event: EventOf<Definition>): State;
  /** The state as JSON values, for snapshots. An aggregate without it never writes one. */
  readonly snapshot?: { encode(state: State): unknown; decode(value: unknown): State };
}

/** Types an aggregate: `defineAggregate({ type: 'dataset', events: [rootCommitted], initial: () => …, fold: … })`. */
export function defineAggregate<State, Definition extends EventDefinition>(
  definition: AggregateDefinition<State, Definition>,
): AggregateDefinition<State, Definition> {
  return Object.freeze({ ...definition });
}

/** An aggregate as folded so far. */
export interface Loaded<State> {
  readonly state: State;
  /** 0: it does not exist. */
  readonly version: number;
  /** Of the last message on its subject, accepted or not; 0 for none. */
  readonly lastSequence: number;
}

interface Folding<State> extends Loaded<State> {
  readonly snapshotSequence: number;
  readonly snapshotVersion: number;
  /** Ids accepted since the snapshot before the last: a writer proposes none of them again. */
  readonly ids: Set<string>;
}

export interface Proposed<State, Event> extends Loaded<State> {
  /** What this proposal added; empty if `decide` wanted nothing or everything was there already. */
  readonly events: readonly Event[];
}

interface SnapshotPayload {
  readonly digest: string;
  readonly ids: readonly string[];
  /** JSON text of the encoded state; the digest is over exactly this. */
  readonly state: string;
}

export interface AggregateStoreOptions {
  readonly bus: Bus;
  /** The service that writes, for `ce-source`. */
  readonly source: string;
  readonly clock?: Clock;
  /** For the pauses between rounds. */
  readonly random?: RandomSource;
  /** Default 1,000. */
  readonly snapshotEvery?: number;
}

export class AggregateStore<State, Definition extends EventDefinition> {
  readonly #definition: AggregateDefinition<State, Definition>;
  readonly #byType: ReadonlyMap<string, Definition>;
  readonly #bus: Bus;
  readonly #source: string;
  readonly #clock: Clock;
  readonly #random: RandomSource;
  readonly #snapshotEvery: number;
  readonly #cache = new Map<string, Folding<State>>();
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(definition: AggregateDefinition<State, Definition>, options: AggregateStoreOptions) {
    this.#definition = definition;
    this.#byType = new Map(definition.events.map((event) => [event.type, event]));
    this.#bus = options.bus;
    this.#source = options.source;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? secureRandom();
    this.#snapshotEvery = options.snapshotEvery ?? SNAPSHOT_EVERY;
  }

  /** The aggregate up to the present end of its subject; `version` 0 and the initial state where it has no event. */
  async load(tenant: string, id: string): Promise<Loaded<State>> {
    const address = { tenant, type: this.#definition.type, id };
    return await this.#inTurn(aggregateSubject(address), () =>
      this.#refresh(address).then(({ folding }) => folding),
    );
  }

  /** All accepted events of an aggregate, oldest first, snapshots left out. */
  async *history(tenant: string, id: string): AsyncGenerator<EventOf<Definition>> {
    const address = { tenant, type: this.#definition.type, id };
    let folding = this.#empty(id);
    for await (const message of this.#bus.read(STREAMS.events, aggregateSubject(address))) {
      const accepted = this.#foldMessage(folding, message);
      folding = accepted.folding;
      if (accepted.event) yield accepted.event;
    }
  }

  /**
   * Decides on the present state, appends what was decided and returns once it is read back as accepted. `decide` is
   * pure and runs again whenever another writer was first; it throws to refuse and returns nothing to leave things as
   * they are. Several events are appended one after the other: a crash may leave the first of them, so each must be
   * true on its own.
   * @throws LetheError what `decide` throws; LETHE-2004 lost against other writers again and again; those of `Bus.append`
   */
  async propose(
    tenant: string,
    id: string,
    decide: (state: State, version: number) => readonly NewEventOf<Definition>[],
  ): Promise<Proposed<State, EventOf<Definition>>> {
    const address = { tenant, type: this.#definition.type, id };
    return await this.#inTurn(aggregateSubject(address), () => this.#propose(address, decide));
  }

  async #propose(
    address: AggregateAddress,
    decide: (state: State, version: number) => readonly NewEventOf<Definition>[],
  ): Promise<Proposed<State, EventOf<Definition>>> {
    const added: EventOf<Definition>[] = [];
    for (let round = 0; round < ROUNDS_MAX; round++) {
      if (round > 0) await sleep(this.#random.uniform() * Math.min(20 * 2 ** round, 800));
      let { folding } = await this.#refresh(address);
      const wanted = decide(folding.state, folding.version).map((event) => ({
        ...event,
        id: event.id ?? randomUUID(),
      }));
      let lost = false;
      for (const event of wanted) {
        if (folding.ids.has(event.id)) continue;
        const outcome = await this.#appendOne(address, folding, event);
        folding = outcome.folding;
        if (outcome.accepted) added.push(outcome.accepted);
        else lost = !folding.ids.has(event.id);
        if (lost) break;
      }
      if (lost) continue;
      await this.#snapshotIfDue(address, folding);
      return {
        state: folding.state,
        version: folding.version,
        lastSequence: folding.lastSequence,
        events: added,
      };
    }
    throw EVENTS.CONTENTION(`${address.type} was changed by others in ${ROUNDS_MAX} rounds`, {
      details: { type: address.type },
    });
  }

  async #appendOne(
    address: AggregateAddress,
    folding: Folding<State>,
    event: NewEventOf<Definition> & { readonly id: string },
  ): Promise<{ folding: Folding<State>; accepted?: EventOf<Definition> }> {
    const { definition } = event;
    assert(
      this.#byType.has(definition.type),
      `${definition.type} is not an event of ${this.#definition.type}`,
    );
    const wrong = definition.validate?.(event.data);
    if (wrong !== undefined) throw EVENTS.MALFORMED_EVENT(`${definition.type}: ${wrong}`);
    const message = envelope(
      {
        id: event.id,
        type: definition.type,
        version: folding.version + 1,
        timeMs: this.#clock.nowMs(),
        source: this.#source,
        snapshotSequence: folding.snapshotSequence,
      },
      definition.codec.encode(event.data).finish(),
      'application/protobuf',
    );
    const expected = { expectedLastSubjectSequence: folding.lastSequence };
    try {
      const first = await this.#bus.append(STREAMS.events, aggregateSubject(address), message, expected);
      if (first.duplicate) {
        // Stored before: by an earlier try of ours whose answer was lost, or by one that the fold has ignored. Only the
        // latter is missing from the fold, and only it is stored again, under a message id that the broker does not know.
        const seen = await this.#refresh(address);
        if (seen.folding.ids.has(event.id)) return this.#outcome(seen, event.id);
        const again = { ...message, id: `${message.id}#${folding.version + 1}` };
        await this.#bus.append(STREAMS.events, aggregateSubject(address), again, expected);
      }
    } catch (error) {
      if (!isError(error, EVENTS.WRONG_SEQUENCE)) throw error;
    }
    return this.#outcome(await this.#refresh(address), event.id);
  }

  #outcome(
    seen: { folding: Folding<State>; events: readonly EventOf<Definition>[] },
    id: string,
  ): { folding: Folding<State>; accepted?: EventOf<Definition> } {
    const accepted = seen.events.find((event) => event.id === id);
    return accepted ? { folding: seen.folding, accepted } : { folding: seen.folding };
  }

  async #snapshotIfDue(address: AggregateAddress, folding: Folding<State>): Promise<void> {
    const { snapshot } = this.#definition;
    if (!snapshot || folding.version - folding.snapshotVersion < this.#snapshotEvery) return;
    const state = JSON.stringify(snapshot.encode(folding.state));
    const payload: SnapshotPayload = {
      digest: hex(sha256(state)),
      ids: [...folding.ids].slice(-this.#snapshotEvery),
      state,
    };
    const message = envelope(
      {
        id: randomUUID(),
        type: SNAPSHOT_TYPE,
        version: folding.version + 1,
        timeMs: this.#clock.nowMs(),
        source: this.#source,
        snapshotSequence: folding.snapshotSequence,
      },
      utf8(JSON.stringify(payload)),
      'application/json',
    );
    try {
      await this.#bus.append(STREAMS.events, aggregateSubject(address), message, {
        expectedLastSubjectSequence: folding.lastSequence,
      });
    } catch (error) {
      // Another writer was first: the snapshot is due again at its next proposal.
      if (!isError(error, EVENTS.WRONG_SEQUENCE)) throw error;
    }
  }

  /** Folds what has been appended since the last look. */
  async #refresh(
    address: AggregateAddress,
  ): Promise<{ folding: Folding<State>; events: readonly EventOf<Definition>[] }> {
    const subject = aggregateSubject(address);
    let folding = this.#cache.get(subject) ?? (await this.#start(address));
    // Out of the cache while it grows: what a malformed event leaves half folded is never used again.
    this.#cache.delete(subject);
    const events: EventOf<Definition>[] = [];
    for await (const message of this.#bus.read(STREAMS.events, subject, {
      fromSequence: folding.lastSequence + 1,
    })) {
      const accepted = this.#foldMessage(folding, message);
      folding = accepted.folding;
      if (accepted.event) events.push(accepted.event);
    }
    this.#cache.set(subject, folding);
    if (this.#cache.size > CACHED_MAX) this.#cache.delete(this.#cache.keys().next().value as string);
    return { folding, events };
  }

  /** Nothing, or what stands before the last snapshot. */
  async #start(address: AggregateAddress): Promise<Folding<State>> {
    const empty = this.#empty(address.id);
    const last = await this.#bus.last(STREAMS.events, aggregateSubject(address));
    if (!last) return empty;
    const { snapshotSequence } = readEnvelope(last);
    if (snapshotSequence === 0) return empty;
    const message = await this.#bus.get(STREAMS.events, snapshotSequence);
    if (!message || message.subject !== last.subject) {
      throw EVENTS.SNAPSHOT_MISMATCH('the snapshot that an event names is not there', {
        details: { type: address.type, sequence: snapshotSequence },
      });
    }
    return { ...empty, version: readEnvelope(message).version - 1, lastSequence: snapshotSequence - 1 };
  }

  #empty(id: string): Folding<State> {
    return {
      state: this.#definition.initial(id),
      version: 0,
      lastSequence: 0,
      snapshotSequence: 0,
      snapshotVersion: 0,
      ids: new Set(),
    };
  }

  #foldMessage(
    folding: Folding<State>,
    message: StoredMessage,
  ): { folding: Folding<State>; event?: EventOf<Definition> } {
    const { id, type, version } = readEnvelope(message);
    const passed = { ...folding, lastSequence: message.sequence };
    if (version !== folding.version + 1) return { folding: passed };
    if (type === SNAPSHOT_TYPE) return { folding: this.#foldSnapshot(message, version) };
    const definition = this.#byType.get(type);
    if (!definition) {
      throw EVENTS.UNKNOWN_EVENT(`${type} is not an event of ${this.#definition.type}`, {
        details: { type, sequence: message.sequence },
      });
    }
    const event = decodeEvent(definition, message) as EventOf<Definition>;
    const state = this.#definition.fold(folding.state, event);
    folding.ids.add(id);
    return { folding: { ...passed, state, version }, event };
  }

  #foldSnapshot(message: StoredMessage, version: number): Folding<State> {
    const { snapshot } = this.#definition;
    assert(snapshot, `${this.#definition.type} has a snapshot but no codec for one`);
    const payload = JSON.parse(new TextDecoder().decode(message.data)) as SnapshotPayload;
    if (hex(sha256(payload.state)) !== payload.digest) {
      throw EVENTS.SNAPSHOT_MISMATCH('the state of a snapshot does not have the digest it carries', {
        details: { type: this.#definition.type, sequence: message.sequence },
      });
    }
    return {
      state: snapshot.decode(JSON.parse(payload.state)),
      version,
      lastSequence: message.sequence,
      snapshotSequence: message.sequence,
      snapshotVersion: version,
      ids: new Set(payload.ids),
    };
  }

  /** One proposal at a time per aggregate in this process: rivals in other processes are the broker's and the fold's. */
  async #inTurn<T>(subject: string, work: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(subject) ?? Promise.resolve();
    const mine = before.then(work, work);
    const settled = mine.catch(() => undefined);
    this.#turns.set(subject, settled);
    try {
      return await mine;
    } finally {
      if (this.#turns.get(subject) === settled) this.#turns.delete(subject);
    }
  }
}
