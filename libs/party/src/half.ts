/** A party's half of a federation's work: what it answers to each message of the coordinator. Sends nothing itself. */
import { type PartyAttestation, type Signer, signPartyAttestation } from '@lethe/certificate';
import { type federation, partyArtefact } from '@lethe/contracts';
import { Session } from '@lethe/runtime';
import {
  assert,
  type Clock,
  canonicalJson,
  fromBase64,
  fromHex,
  hex,
  LetheError,
  timestamp,
  utf8,
} from '@lethe/std';
import {
  type Alignment,
  batchRoot,
  type Checkpoint,
  epochBatches,
  followStep,
  learningRateAt,
  type PartyEffect,
  type PartyEvent,
  type PartyState,
  PartyTrainer,
  planOf,
  type StepStart,
  type VerticalPlan,
} from '@lethe/vertical';
import { PARTY } from './errors.ts';
import type { RowStore } from './rows.ts';

export type Answer = NonNullable<federation.PartyMessage['message']>;
export type Question = NonNullable<federation.CoordinatorMessage['message']>;

export interface PartyProgress {
  readonly phase: 'joined' | 'training' | 'trained' | 'erased' | 'attested' | 'refused' | 'disconnected';
  /** Steps committed and to commit, while training. */
  readonly done?: number;
  readonly total?: number;
  readonly code?: string;
}

export interface HalfOptions {
  readonly federation: string;
  readonly party: string;
  readonly store: RowStore;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly onProgress: (progress: PartyProgress) => void;
}

/** The initial weights of a party; part of what a replay needs. */
export const partySeed = (spec: federation.FederationSpec, name: string, party: string): string =>
  `${spec.seed}|${name}|${party}`;

/** The bottom network's part of the plan. It does not depend on the number of classes, which a party is not told. */
export const bottomPlan = (spec: federation.FederationSpec): VerticalPlan => planOf(spec, 1);

interface Job {
  readonly id: string;
  readonly orderKey: Uint8Array;
  readonly alignment: Alignment;
  readonly batchesPerEpoch: number;
  epoch: number;
  batches: readonly (readonly string[])[];
}

export class PartyHalf {
  readonly #options: HalfOptions;
  #plan: VerticalPlan | undefined;
  #spec: federation.FederationSpec | undefined;
  #trainer: { readonly trainer: PartyTrainer; readonly initial: Checkpoint } | undefined;
  #job: Job | undefined;
  #state: PartyState = { phase: 'waiting', stepsCommitted: 0 };
  /** Digest of a model that all its epochs have made; empty while there is none. */
  #complete = '';
  /** Erasures whose rows have been taken out by this process. */
  readonly #erased = new Set<string>();

  constructor(options: HalfOptions) {
    this.#options = options;
  }

  /** Hex; empty without a complete model. */
  get modelDigest(): string {
    return this.#complete;
  }

  /** What is sent back, in order. A refusal is an answer; only our own bugs throw. */
  async answer(question: Question): Promise<Answer[]> {
    const stepId = stepOf(question);
    try {
      return await this.#answer(question);
    } catch (error) {
      if (!(error instanceof LetheError)) throw error;
      return this.#refuse(stepId, error.code, error.message);
    }
  }

  async close(): Promise<void> {
    await this.#trainer?.trainer.close();
    this.#trainer = undefined;
  }

  async #answer(question: Question): Promise<Answer[]> {
    switch (question.$case) {
      case 'welcome':
        assert(question.value.spec, 'a welcome carries the specification');
        this.#spec = question.value.spec;
        this.#plan = bottomPlan(question.value.spec);
        this.#options.onProgress({ phase: 'joined' });
        return [];
      case 'startTraining':
        return await this.#startTraining(question.value);
      case 'startStep':
        return await this.#startStep(question.value);
      case 'gradients':
        return await this.#inStep({ type: 'gradientsReceived', start: this.#started() }, question.value);
      case 'commit':
        return await this.#inStep({ type: 'commitReceived', start: this.#started() }, question.value);
      case 'abort':
        return await this.#inStep({ type: 'abortReceived', start: this.#started() }, question.value);
      case 'encodeRows':
        return await this.#encodeRows(question.value);
      case 'eraseRows':
        return this.#eraseRows(question.value);
      case 'attest':
        return this.#attest(question.value);
      case 'goodbye':
        return [];
    }
  }

  async #startTraining(message: federation.StartTraining): Promise<Answer[]> {
    const { store, federation: name, party } = this.#options;
    const plan = this.#plan;
    assert(plan && this.#spec, 'training starts after the welcome');
    this.#complete = '';
    this.#job = undefined;
    const missing = store.missing(message.recordIds);
    if (missing > 0) {
      throw PARTY.ROWS_MISSING(`${missing} of ${message.recordIds.length} rows are not held here`);
    }
    if (!this.#trainer) {
      const seed = partySeed(this.#spec, name, party);
      const trainer = await PartyTrainer.create(plan, store.columns, (model) => Session.create(model), seed);
      this.#trainer = { trainer, initial: trainer.checkpoint() };
    }
    this.#trainer.trainer.restore(this.#trainer.initial);
    const alignment = { version: message.version, rows: message.recordIds, tombstones: new Set<string>() };
    const orderKey = fromHex(message.seed);
    const batches = epochBatches(alignment, orderKey, 0, plan);
    this.#job = {
      id: message.job,
      orderKey,
      alignment,
      batchesPerEpoch: batches.length,
      epoch: 0,
      batches,
    };
    this.#state = { phase: 'waiting', stepsCommitted: 0 };
    return [];
  }

  async #startStep(message: federation.StartStep): Promise<Answer[]> {
    const job = this.#job;
    if (!job || !this.#plan) throw PARTY.NOT_TRAINED('a step without a training that was started');
    if (job.epoch !== message.epoch) {
      job.epoch = message.epoch;
      job.batches = epochBatches(job.alignment, job.orderKey, message.epoch, this.#plan);
    }
    const start: StepStart = {
      jobId: job.id,
      epoch: message.epoch,
      step: message.step,
      attempt: 1,
      alignmentVersion: job.alignment.version,
      batchRoot: hex(message.manifest),
    };
    const own = { alignmentVersion: job.alignment.version, batchRoot: batchRoot(this.#batch(start)) };
    return await this.#follow({ type: 'startReceived', start, own }, message.stepId);
  }

  #started(): StepStart {
    const { start } = this.#state;
    if (!start || !this.#job) throw PARTY.NOT_TRAINED('no step is under way');
    return start;
  }

  /** A message of a step that is over belongs to nothing. */
  async #inStep(event: PartyEvent, message: { stepId: string; gradients?: Uint8Array }): Promise<Answer[]> {
    const { start } = event;
    if (message.stepId !== stepIdOf(start.jobId, start.step)) return [];
    return await this.#follow(event, message.stepId, message.gradients);
  }

  #batch({ epoch, step }: StepStart): readonly string[] {
    const job = this.#job!;
    return job.batches[step - epoch * job.batchesPerEpoch] ?? [];
  }

  async #follow(event: PartyEvent, stepId: string, gradients?: Uint8Array): Promise<Answer[]> {
    const { state, effects } = followStep(this.#state, event);
    this.#state = state;
    const answers: Answer[] = [];
    for (const effect of effects) answers.push(...(await this.#perform(effect, stepId, gradients)));
    return answers;
  }

  async #perform(effect: PartyEffect, stepId: string, gradients?: Uint8Array): Promise<Answer[]> {
    const { trainer } = this.#trainer!;
    const plan = this.#plan!;
    switch (effect.type) {
      case 'sendCodes': {
        const codes = await trainer.forward(this.#options.store.matrix(this.#batch(effect.start)));
        return [{ $case: 'codes', value: { stepId, codes } }];
      }
      case 'refuse':
        return this.#refuse(stepId, effect.code, effect.reason);
      case 'applyGradients':
        await trainer.backward(gradients ?? new Uint8Array(0), learningRateAt(plan, effect.start.epoch));
        return [{ $case: 'ready', value: { stepId } }];
      case 'discardUpdate':
        trainer.abort();
        return [];
      case 'switchParameters':
        trainer.commit();
        return this.#afterCommit(stepId, trainer);
    }
  }

  #afterCommit(stepId: string, trainer: PartyTrainer): Answer[] {
    const { batchesPerEpoch } = this.#job!;
    const done = this.#state.stepsCommitted;
    if (done % batchesPerEpoch !== 0) return [];
    const total = batchesPerEpoch * this.#plan!.epochs;
    const modelDigest = hex(trainer.digest());
    if (done === total) this.#complete = modelDigest;
    this.#options.onProgress({ phase: done === total ? 'trained' : 'training', done, total });
    return [{ $case: 'committed', value: { stepId, modelDigest } }];
  }

  async #encodeRows({ stepId, recordIds }: federation.EncodeRows): Promise<Answer[]> {
    if (this.#complete === '') throw PARTY.NOT_TRAINED('there is no complete model here');
    const codes = await this.#trainer!.trainer.encode(this.#options.store.matrix(recordIds));
    return [{ $case: 'codes', value: { stepId, codes } }];
  }

  /** The model that was computed from the rows goes with them; what comes is trained from the initial weights. */
  #eraseRows({ erasure, recordIds }: federation.EraseRows): Answer[] {
    this.#complete = '';
    this.#job = undefined;
    if (this.#trainer) this.#trainer.trainer.restore(this.#trainer.initial);
    this.#options.store.erase(recordIds);
    this.#erased.add(erasure);
    this.#options.onProgress({ phase: 'erased' });
    return [];
  }

  #attest({ erasure, requestDigest, digestBefore }: federation.Attest): Answer[] {
    const { federation: name, party, signer, clock } = this.#options;
    if (!this.#erased.has(erasure) || this.#complete === '') {
      throw PARTY.NOT_ERASED('no rows of that erasure were erased, or no model was trained since');
    }
    const attestation: PartyAttestation = {
      type: 'party-erased',
      version: 1,
      federation: name,
      party,
      requestDigest,
      artefact: partyArtefact(name, party),
      digestBefore,
      digestAfter: this.#complete,
      method: 'rows-deleted-and-retrained-from-initial-weights',
      at: timestamp(clock.nowMs()),
    };
    const { signature } = signPartyAttestation(attestation, signer);
    this.#options.onProgress({ phase: 'attested' });
    const statement = utf8(canonicalJson(attestation));
    return [{ $case: 'attestation', value: { erasure, statement, signature: fromBase64(signature) } }];
  }

  #refuse(stepId: string, code: string, message: string): Answer[] {
    this.#options.onProgress({ phase: 'refused', code });
    return [{ $case: 'refusal', value: { stepId, code, message } }];
  }
}

/** As StartTraining says: {job}:{step}. */
const stepIdOf = (job: string, step: number): string => `${job}:${step}`;

/** What a refusal refers to. */
function stepOf({ value }: Question): string {
  if ('stepId' in value) return value.stepId;
  if ('job' in value) return value.job;
  return 'erasure' in value ? value.erasure : '';
}
