/**
 * Sealed pieces of functions' states: heads, segments, feature blocks, each under a key of its own, and the journal that lets every
 * key of an attempt be destroyed which no version names.
 *
 * Nothing counts before its fact is committed, and a process may be killed at any line. So every key is declared in the journal
 * before it is made: a message on a subject of the artefact stream that holds key ids and digests, nothing of a person. Once a
 * version is committed, `settle` destroys what the attempts that started from older versions have made and replaced, except for
 * what the newest version names. An attempt that started from the present version may still be running, in another process; it
 * holds nobody whom the present version does not hold, and is settled with the next version at the latest.
 */
import { randomUUID } from 'node:crypto';
import { type events, resourceName } from '@lethe/contracts';
import { objectSubject, STREAMS } from '@lethe/events';
import { type Change, INDEX, type SegmentStore } from '@lethe/index';
import { SealedArtefacts, type ServiceDeps } from '@lethe/service';
import { assert, hex, LetheError, sha256, utf8 } from '@lethe/std';

/** `key id:object`, or of a state that is not stored yet `memory:number`. */
export type Reference = string;

/** The part of an artefact's reference that opens it. */
const refOf = (reference: Reference) => {
  const [keyId = '', object = ''] = reference.split(':');
  return { keyId, object, digest: '', sizeBytes: 0n };
};

interface Entry {
  readonly attempt: string;
  /** Version that the attempt started from; while a re-encoding moves codes, plus a fraction for its steps. */
  readonly base: number;
  readonly keyIds?: readonly string[];
  readonly references?: readonly Reference[];
}

export const referenceOf = ({
  keyId,
  object,
}: {
  readonly keyId: string;
  readonly object: string;
}): Reference => `${keyId}:${object}`;

/** Pieces whose names one message of the journal holds: bounds what a crash can leave undeclared of objects' names. */
const DECLARED = 16;
/** Pieces on their way to or from the store at a time: bounds the memory of their copies. */
const TRAVELLING = 4;

/**
 * Works on all items, some at a time; after a failure no further ones are begun, and the first one is thrown when all have ended.
 * @returns results in the order of the items
 */
export async function sideBySide<T, R>(
  items: readonly T[],
  work: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const failures: unknown[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length && failures.length === 0) {
      const index = next++;
      try {
        results[index] = await work(items[index]!, index);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: TRAVELLING }, lane));
  if (failures.length > 0) throw failures[0];
  return results;
}

export class SealedState {
  readonly sealed: SealedArtefacts;
  readonly #deps: Pick<ServiceDeps, 'bus' | 'peers'>;

  constructor(deps: ServiceDeps) {
    this.#deps = deps;
    this.sealed = new SealedArtefacts(deps);
  }

  /** @throws LetheError when the key has been destroyed or the object is gone or damaged */
  async get(tenant: string, reference: Reference): Promise<Uint8Array> {
    return await this.sealed.get(tenant, refOf(reference));
  }

  /** Begins a change of a function that starts from version `base`. */
  attempt(tenant: string, functionName: string, base: number): Attempt {
    return new Attempt(this, tenant, functionName, base);
  }

  /** Notes keys or pieces of an attempt. */
  async note(tenant: string, functionName: string, entry: Entry): Promise<void> {
    await this.#deps.bus.append(STREAMS.artefacts, journalSubject(tenant, functionName), {
      id: randomUUID(),
      data: utf8(JSON.stringify(entry)),
    });
  }

  /**
   * Destroys what attempts from versions before `version` have made or replaced, except for what that version names.
   * @param live called only if there is something to destroy
   * @param own an attempt that is over, whatever it started from, and what it has stored that the journal does not name yet
   */
  async settle(
    tenant: string,
    functionName: string,
    version: number,
    live: () => Promise<readonly Reference[]> | readonly Reference[],
    own?: { readonly attempt: string; readonly references: readonly Reference[] },
  ): Promise<void> {
    const { bus } = this.#deps;
    const sequences: number[] = [];
    const keyIds = new Set<string>();
    const objects = new Set<string>(own?.references.map((reference) => refOf(reference).object));
    for await (const message of bus.read(STREAMS.artefacts, journalSubject(tenant, functionName))) {
      const entry = JSON.parse(new TextDecoder().decode(message.data)) as Entry;
      if (entry.base >= version && entry.attempt !== own?.attempt) continue;
      sequences.push(message.sequence);
      for (const keyId of entry.keyIds ?? []) keyIds.add(keyId);
      for (const reference of entry.references ?? []) {
        keyIds.add(refOf(reference).keyId);
        objects.add(refOf(reference).object);
      }
    }
    if (sequences.length === 0) return;
    for (const reference of await live()) {
      keyIds.delete(refOf(reference).keyId);
      objects.delete(refOf(reference).object);
    }
    await this.#destroyKeys(tenant, [...keyIds]);
    await sideBySide([...objects], (object) => this.sealed.discard(tenant, { ...refOf(''), object }));
    for (const sequence of sequences) await bus.deleteMessageSecurely(STREAMS.artefacts, sequence);
  }

  async #destroyKeys(tenant: string, keyIds: readonly string[]): Promise<void> {
    if (keyIds.length === 0) return;
    const parent = resourceName('tenant', tenant);
    await this.#deps.peers.vault.destroyArtefactKeys({ parent, keyIds: [...keyIds] });
  }
}

const journalSubject = (tenant: string, functionName: string): string =>
  objectSubject(tenant, hex(sha256('lethe/hashing/journal/v1', functionName)));

/** Stored bytes before they are named by a version. */
export interface Piece extends events.ArtefactRef {
  readonly reference: Reference;
}

/** One change of one function, from its first stored byte to its fact. */
export class Attempt {
  readonly id = randomUUID().slice(0, 13);
  /** The change of the index that belongs to this one, once it is prepared. */
  open: Change<unknown> | undefined;
  readonly #state: SealedState;
  readonly #tenant: string;
  readonly #function: string;
  readonly #base: number;
  #next = 0;
  /** Key ids that are declared and seal nothing yet, by what they are for. */
  readonly #declared = new Map<string, string[]>();
  /** Pieces that are stored and not named in the journal yet. */
  readonly #unnamed: Reference[] = [];

  constructor(state: SealedState, tenant: string, functionName: string, base: number) {
    this.#state = state;
    this.#tenant = tenant;
    this.#function = functionName;
    this.#base = base;
  }

  /** Declares the keys of pieces that will be put one by one, in one message. @param counts by what they are for, as in `put` */
  async expect(counts: Readonly<Record<string, number>>): Promise<void> {
    const fresh = Object.entries(counts).map(
      ([what, count]) => [what, this.#newKeyIds(what, count)] as const,
    );
    await this.#note({ keyIds: fresh.flatMap(([, keyIds]) => keyIds) });
    for (const [what, keyIds] of fresh) this.#declared.set(what, keyIds);
  }

  /** Stores pieces, each under a key of its own. @param what for people who look at key ids: `head`, `segment`, `block` */
  async put(what: string, pieces: readonly Uint8Array[]): Promise<Piece[]> {
    const own = this.#declared.get(what)?.splice(0, pieces.length) ?? [];
    const more = this.#newKeyIds(what, pieces.length - own.length);
    if (more.length > 0) await this.#note({ keyIds: more });
    const keyIds = [...own, ...more];
    return await sideBySide(pieces, async (bytes, i) => {
      const ref = await this.#state.sealed.put(this.#tenant, keyIds[i]!, bytes);
      const reference = referenceOf(ref);
      this.#unnamed.push(reference);
      if (this.#unnamed.length >= DECLARED) await this.replaces([]);
      return { ...ref, reference };
    });
  }

  /** Names in the journal what the change replaces, destroyed once it is committed, and what it has stored so far. */
  async replaces(references: readonly Reference[]): Promise<void> {
    const named = this.#unnamed.splice(0);
    if (named.length + references.length === 0) return;
    try {
      await this.#note({ references: [...named, ...references] });
    } catch (error) {
      this.#unnamed.push(...named);
      throw error;
    }
  }

  /** Undoes what is not named by `live`: after a refusal, a lost race or a failure. */
  async abandon(live: readonly Reference[]): Promise<void> {
    const own = { attempt: this.id, references: this.#unnamed };
    await this.#state.settle(this.#tenant, this.#function, this.#base, () => live, own);
  }

  #newKeyIds(what: string, count: number): string[] {
    return Array.from({ length: count }, () => `hash-${what}-${this.id}-${this.#next++}`);
  }

  async #note(entry: Omit<Entry, 'attempt' | 'base'>): Promise<void> {
    await this.#state.note(this.#tenant, this.#function, { attempt: this.id, base: this.#base, ...entry });
  }
}

/** Segments of one function as its index reads and writes them; feature blocks are read here too. */
export class PieceStore implements SegmentStore {
  readonly #state: SealedState;
  readonly #tenant: string;
  /** Pieces of a state that is not stored in this form yet, by reference. */
  readonly #memory: Map<string, Uint8Array>;
  /** The change that runs; new segments belong to it. */
  attempt: Attempt | undefined;

  constructor(state: SealedState, tenant: string, memory = new Map<string, Uint8Array>()) {
    this.#state = state;
    this.#tenant = tenant;
    this.#memory = memory;
  }

  /** True if nothing of it is stored: it was read from an artefact of an earlier format. */
  get isInMemory(): boolean {
    return this.#memory.size > 0;
  }

  async put(bytes: Uint8Array): Promise<string> {
    assert(this.attempt, 'segments are written in a change');
    return (await this.attempt.put('segment', [bytes]))[0]!.reference;
  }

  /** @throws LETHE-2602 the piece is gone  @throws LETHE-2601 it cannot be opened */
  async get(reference: Reference): Promise<Uint8Array> {
    const kept = this.#memory.get(reference);
    if (kept) return kept.slice();
    try {
      return await this.#state.get(this.#tenant, reference);
    } catch (cause) {
      if (!(cause instanceof LetheError) || cause.status === 'UNAVAILABLE') throw cause;
      const details = { reference };
      if (cause.status === 'NOT_FOUND')
        throw INDEX.SEGMENT_MISSING('a piece of the state is not in the store', { details, cause });
      throw INDEX.SEGMENT_DAMAGED('a piece of the state cannot be opened', { details, cause });
    }
  }

  /** Bytes with this digest. @throws LETHE-2601, LETHE-2602 */
  async verified(reference: Reference, digest: string): Promise<Uint8Array> {
    const bytes = await this.get(reference);
    if (hex(sha256(bytes)) === digest) return bytes;
    throw INDEX.SEGMENT_DAMAGED('a piece of the state is not the one that is named', {
      details: { reference },
    });
  }

  /** What is stored goes with the journal of the change that replaces or abandons it: keys first, all in one call. */
  async delete(reference: Reference): Promise<void> {
    if (!this.#memory.delete(reference)) assert(this.attempt, 'a piece is replaced or abandoned by a change');
  }
}
