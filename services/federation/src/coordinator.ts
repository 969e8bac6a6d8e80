/** Decides what a federation does next and does it: first training, replay for a party that lost its model, retraining. */
import { EVENT, type events } from '@lethe/contracts';
import { decodePayload, decodeSpec } from '@lethe/datasets';
import { newEvent } from '@lethe/events';
import {
  ContainedAliases,
  datasetOfRoot,
  exclusions,
  isFinal,
  loggedRoot,
  type OpenedRecord,
  readRecords,
  type ServiceDeps,
} from '@lethe/service';
import { fromHex, hex, LetheError, type Mailbox, sleep } from '@lethe/std';
import { planOf, type TopTrainer } from '@lethe/vertical';
import type { FederationAggregate } from './domain/federation.ts';
import { modelDigest, orderKey, topSeed } from './domain/plan.ts';
import { type AlignedRow, type FederationState, trainingLabels } from './domain/state.ts';
import { FEDERATION } from './errors.ts';
import { type Address, type Existing, Federations } from './federations.ts';
import { type Heard, Room } from './room.ts';
import { createTop, type Trained, type TrainingJob, train } from './training.ts';

export interface FederationSettings {
  /** How long a root may take to appear in the transparency log; default 10 s. */
  readonly rootWaitMs?: number;
  /** How long a party may take for one answer before it counts as gone; default 30 s. */
  readonly answerMs?: number;
  /** How long one attempt at an erasure waits for absent parties; default 8 s. */
  readonly partyWaitMs?: number;
}

const DEFAULTS = { rootWaitMs: 10_000, answerMs: 30_000, partyWaitMs: 8_000 };
/** Before work that failed for a passing reason, other than a missing party, is tried again. */
const RETRY_MS = 1_000;

/** A trained federation as predictions use it. */
export interface Serving {
  readonly version: number;
  readonly state: FederationState;
  readonly top: TopTrainer;
  readonly aliases: ReadonlyMap<string, string>;
}

/** What a training makes, before it is a fact. */
export interface Outcome {
  readonly state: FederationState;
  readonly digest: string;
  readonly trained: Trained;
}

export class Coordinator {
  readonly deps: ServiceDeps;
  readonly settings: Required<FederationSettings>;
  readonly federations: Federations;
  /** Aliases whose rows no prediction takes. */
  readonly masks = new ContainedAliases();
  /** False until the masks have been read: before that a prediction could take rows that have been contained. */
  ready = false;
  readonly #rooms = new Map<string, Room>();
  readonly #serving = new Map<string, Serving>();
  readonly #work = new Set<Promise<void>>();
  /** Position up to which the records of a federation's dataset have been read, by the federation's name. */
  readonly #readUpTo = new Map<string, number>();
  #runs = 0;
  #closed = false;

  constructor(deps: ServiceDeps, settings: FederationSettings) {
    this.deps = deps;
    this.settings = { ...DEFAULTS, ...settings };
    this.federations = new Federations(deps);
  }

  room(address: Address): Room {
    const room = this.#rooms.get(address.name) ?? new Room(address);
    this.#rooms.set(address.name, room);
    return room;
  }

  /** Looks, in the background, whether there is something to train. Called when a party has come. */
  poke(room: Room): void {
    const work = this.#advance(room)
      .catch((error: unknown) => {
        this.deps.logger.error('a federation does not go on', { federation: room.address.name, error });
      })
      .finally(() => this.#work.delete(work));
    this.#work.add(work);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const room of this.#rooms.values()) {
      for (const link of [...room.links.values()]) {
        link.send({ $case: 'goodbye', value: { reason: 'the service stops' } });
        room.leave(link, 'the service stops');
      }
    }
    await Promise.all(this.#work);
    for (const { top } of this.#serving.values()) await top.close();
    this.#serving.clear();
  }

  async #advance(room: Room): Promise<void> {
    const { logger } = this.deps;
    const { name } = room.address;
    while (!this.#closed) {
      try {
        await room.inTurn((heard) => this.#trainIfDue(room, heard));
        return;
      } catch (error) {
        if (error instanceof LetheError && error.code === FEDERATION.PARTY_MISSING.spec.code) {
          room.dismiss(String(error.details.silent ?? '').split(','));
          room.abandoned = `the round was abandoned: ${error.message}`;
          logger.info('a round was abandoned', { federation: name, error });
          return;
        }
        if (isFinal(error)) {
          await this.#fail(room, error);
          return;
        }
        logger.warn('a training is tried again', { federation: name, error });
        await sleep(RETRY_MS);
      }
    }
  }

  async #fail({ address }: Room, { code, message }: LetheError): Promise<void> {
    const { tenant, id, name } = address;
    this.deps.logger.warn('a federation could not be trained', { federation: name, code });
    const failed = newEvent(EVENT.federationFailed, { federation: name, code, message });
    await this.federations.aggregates.propose(tenant, id, () => [failed]);
  }

  async #trainIfDue(room: Room, heard: Mailbox<Heard>): Promise<void> {
    const { address } = room;
    const federation = await this.federations.load(address);
    const { current, spec } = federation;
    if (this.#closed || room.erasure !== '' || room.missing(spec.parties).length > 0) return;
    if (!current) {
      await this.#firstTraining(room, federation, heard);
    } else if (
      current.parties.some(({ party, modelDigest: known }) => room.links.get(party)?.modelDigest !== known)
    ) {
      await this.#replay(room, federation, current, heard);
    }
  }

  async #firstTraining(room: Room, federation: Existing, heard: Mailbox<Heard>): Promise<void> {
    const { spec } = federation;
    const { address } = room;
    room.activity = 'training';
    room.progress = { done: 0n, total: 0n, phase: 'reading records' };
    await loggedRoot(this.deps.peers, spec.root, this.settings.rootWaitMs, FEDERATION.ROOT_NOT_LOGGED);
    const { rows, classes } = await this.#readRows(address, spec.root);
    const key = orderKey(spec.seed, address.name);
    const outcome = await this.#run(room, federation, heard, {
      version: 1,
      classes,
      orderKey: hex(key),
      rows,
    });
    await this.publish(room, federation, outcome, {});
  }

  /** A party came without the model that it should hold: the same steps give the same bytes again, and no new version. */
  async #replay(
    room: Room,
    federation: Existing,
    current: events.FederationTrained,
    heard: Mailbox<Heard>,
  ): Promise<void> {
    room.activity = 'training';
    const { state } = await this.serving(room.address, current);
    const { trained, digest } = await this.#run(room, federation, heard, state);
    await trained.top.close();
    if (digest === current.digest) return;
    throw FEDERATION.NOT_REPRODUCED('the replay ends in another digest than the training', {
      details: { version: current.version },
    });
  }

  /** Trains without the rows of a batch, from the initial weights, with orders that the erasure's seed gives. */
  async retrain(
    room: Room,
    federation: Existing,
    heard: Mailbox<Heard>,
    change: { readonly rows: readonly AlignedRow[]; readonly seed: string; readonly before: FederationState },
  ): Promise<Outcome> {
    const key = orderKey(change.seed, room.address.name);
    const { classes, version } = change.before;
    return await this.#run(room, federation, heard, {
      version: version + 1,
      classes,
      orderKey: hex(key),
      rows: change.rows,
    });
  }

  async #run(
    room: Room,
    { spec }: Existing,
    heard: Mailbox<Heard>,
    wanted: Omit<FederationState, 'top'>,
  ): Promise<Outcome> {
    const { version, classes, rows } = wanted;
    room.abandoned = '';
    const trained = await train(
      {
        ...(await this.#job(room.address, spec, wanted)),
        id: `v${version}-${++this.#runs}-${hex(this.deps.random.bytes(4))}`,
        labels: trainingLabels(rows),
      },
      {
        links: room.present(spec.parties),
        heard,
        answerMs: this.settings.answerMs,
        onStep: (done, total) => {
          room.progress = { done: BigInt(done), total: BigInt(total), phase: 'training' };
        },
      },
    );
    return {
      state: { version, classes, rows, orderKey: wanted.orderKey, top: trained.top.checkpoint() },
      digest: modelDigest(trained.topDigest, trained.digests),
      trained,
    };
  }

  async #job(
    address: Address,
    spec: Existing['spec'],
    { version, classes, orderKey: key }: Omit<FederationState, 'top'>,
  ): Promise<Omit<TrainingJob, 'labels'>> {
    return {
      id: '',
      version,
      plan: planOf(spec, classes),
      orderKey: fromHex(key),
      topSeed: topSeed(spec, address.name),
      targetSecret: await this.federations.targetSecret(address),
    };
  }

  /** New state under a new key → the fact that names it → serve it → destroy the old key and bytes. */
  async publish(
    room: Room,
    before: Existing,
    { state, digest, trained }: Outcome,
    erasure: {
      readonly fact?: Pick<events.FederationTrained, 'erasure' | 'claims' | 'attestations'>;
      readonly id?: string;
    },
  ): Promise<events.FederationTrained> {
    const { address } = room;
    const fact: events.FederationTrained = {
      federation: address.name,
      version: state.version,
      digest,
      parties: before.spec.parties.map((party) => ({
        party,
        present: true,
        publicKey: before.keys[party] ?? new Uint8Array(0),
        modelDigest: trained.digests[party] ?? '',
      })),
      state: await this.federations.seal(address, state),
      bytesPerSampleUp: trained.bytesUp,
      bytesPerSampleDown: trained.bytesDown,
      erasure: '',
      claims: [],
      attestations: [],
      ...erasure.fact,
    };
    const after = await this.#commit(address, before.current, fact, erasure.id);
    await this.#serve(address, { state, top: trained.top });
    await this.federations.destroy(address, after.superseded);
    return fact;
  }

  /**
   * Records that came under a later root take no part in the training, but parties may hold rows of them: the version's sealed
   * rows get their ids and aliases, so that an erasure reaches them. Digest and version stay.
   */
  async learnRows(address: Address, root: events.DatasetRootCommitted): Promise<void> {
    await this.room(address).inTurn(async () => {
      const { current } = await this.federations.load(address);
      // The first training reads the newest root by itself.
      if (!current) return;
      if (this.#closed) throw FEDERATION.NOT_READY('the service stops');
      const afterPosition = this.#readUpTo.get(address.name) ?? 0;
      const records = await readRecords(this.deps.peers, root.root, { afterPosition });
      const { state, top, aliases } = await this.serving(address, current);
      const added = records.filter(({ recordId }) => !aliases.has(recordId)).map(withoutTraining);
      if (added.length > 0) {
        const next = { ...state, rows: [...state.rows, ...added] };
        const fact: events.FederationTrained = {
          ...current,
          state: await this.federations.seal(address, next, root.number),
          erasure: '',
          claims: [],
          attestations: [],
        };
        await this.#commit(address, current, fact);
        await this.#serve(address, { state: next, top });
      }
      const { superseded } = await this.federations.load(address);
      await this.federations.destroy(address, superseded);
      this.#readUpTo.set(address.name, Number(root.lastPosition));
    });
  }

  /** @throws LETHE-4103 somebody else was first */
  async #commit(
    { tenant, id }: Address,
    before: events.FederationTrained | undefined,
    fact: events.FederationTrained,
    eventId?: string,
  ): Promise<FederationAggregate> {
    const { state: after } = await this.federations.aggregates.propose(tenant, id, (now) =>
      now.current?.version === before?.version && now.current?.state?.object === before?.state?.object
        ? [newEvent(EVENT.federationTrained, fact, eventId)]
        : [],
    );
    if (after.current?.state?.object === fact.state?.object) return after;
    throw FEDERATION.NOT_READY('another process has changed the federation');
  }

  async #serve(
    { name }: Address,
    { state, top }: { state: FederationState; top: TopTrainer },
  ): Promise<Serving> {
    const old = this.#serving.get(name);
    const aliases = new Map(state.rows.map(({ recordId, alias }) => [recordId, alias]));
    const serving = { version: state.version, state, top, aliases };
    this.#serving.set(name, serving);
    if (old && old.top !== top) await old.top.close();
    return serving;
  }

  /** The version that a fact names. Call it in turn only. @throws LETHE-4113 */
  async serving(address: Address, current: events.FederationTrained): Promise<Serving> {
    const cached = this.#serving.get(address.name);
    if (cached?.version === current.version) return cached;
    const state = await this.federations.open(address, current);
    const { spec } = await this.federations.load(address);
    const top = await createTop(await this.#job(address, spec, state));
    top.restore(state.top);
    return await this.#serve(address, { state, top });
  }

  /** Rows under the root with their labels; canaries, contained persons and later records take no part, but are known, to be erased. */
  async #readRows({ tenant }: Address, root: string): Promise<{ rows: AlignedRow[]; classes: number }> {
    const { peers } = this.deps;
    const dataset = await peers.vault.getDataset({ name: datasetOfRoot(root) });
    const spec = decodeSpec(dataset.spec);
    const canaries = await exclusions(peers, root);
    const records = await readRecords(peers, root);
    const trainable = records.map(({ alias, recordId, payload }): AlignedRow => {
      const { label } = decodePayload(spec, payload);
      const leftOut = canaries.has(alias) || this.masks.has(tenant, alias);
      return { recordId, alias, label: leftOut || label === undefined ? null : label };
    });
    if (trainable.every(({ label }) => label === null)) {
      throw FEDERATION.RECORDS_UNFIT('there is no labelled record under the root', { details: { root } });
    }
    const known = new Set(records.map(({ recordId }) => recordId));
    const newest = dataset.latestRoot === root ? [] : await readRecords(peers, dataset.latestRoot);
    const later = newest.filter(({ recordId }) => !known.has(recordId)).map(withoutTraining);
    return { rows: [...trainable, ...later], classes: spec.label.classes.length };
  }
}

const withoutTraining = ({ recordId, alias }: OpenedRecord): AlignedRow => ({ recordId, alias, label: null });
