/** One training of a federation over its parties' streams, from the initial weights to complete models everywhere. */
import { Session } from '@lethe/runtime';
import { fromHex, hex, type Mailbox } from '@lethe/std';
import {
  type Alignment,
  batchRoot,
  type CoordinatorEffect,
  type CoordinatorEvent,
  type CoordinatorState,
  coordinateStep,
  epochBatches,
  learningRateAt,
  type StepStart,
  TopTrainer,
  type VerticalPlan,
} from '@lethe/vertical';
import { FEDERATION } from './errors.ts';
import { answers, type Heard, type Link, refused, silent } from './room.ts';

export interface TrainingJob {
  /** Unique per run: messages of an earlier run are told apart by it. */
  readonly id: string;
  readonly version: number;
  readonly plan: VerticalPlan;
  /** 32 bytes. */
  readonly orderKey: Uint8Array;
  readonly topSeed: string;
  readonly targetSecret: Uint8Array;
  /** Labels by record id, in the order of the alignment. */
  readonly labels: ReadonlyMap<string, number>;
}

export interface Trained {
  readonly top: TopTrainer;
  readonly topDigest: string;
  /** By party. */
  readonly digests: Readonly<Record<string, string>>;
  /** Payload bytes per sample, step and party, as counted. */
  readonly bytesUp: number;
  readonly bytesDown: number;
  readonly steps: number;
}

export interface TrainingOptions {
  readonly links: readonly Link[];
  readonly heard: Mailbox<Heard>;
  /** How long a party may take for one answer. */
  readonly answerMs: number;
  readonly onStep: (done: number, total: number) => void;
}

export const createTop = ({
  plan,
  topSeed,
  targetSecret,
}: Omit<TrainingJob, 'labels'>): Promise<TopTrainer> =>
  TopTrainer.create(plan, (model) => Session.create(model), topSeed, targetSecret);

/** @throws LETHE-4109, LETHE-4110; LETHE-35xx. Whatever it throws, no model is left half trained in service: parties know theirs as incomplete */
export async function train(job: TrainingJob, options: TrainingOptions): Promise<Trained> {
  const top = await createTop(job);
  try {
    return await new Training(job, options, top).run();
  } catch (error) {
    await top.close();
    throw error;
  }
}

class Training {
  readonly #job: TrainingJob;
  readonly #options: TrainingOptions;
  readonly #top: TopTrainer;
  readonly #parties: readonly string[];
  #state: CoordinatorState = { phase: 'idle' };
  #codes = new Map<string, Uint8Array>();
  #labels: readonly number[] = [];
  #failure: Error | undefined;
  #bytesUp = 0;
  #bytesDown = 0;
  #samples = 0;

  constructor(job: TrainingJob, options: TrainingOptions, top: TopTrainer) {
    this.#job = job;
    this.#options = options;
    this.#top = top;
    this.#parties = options.links.map(({ party }) => party);
  }

  async run(): Promise<Trained> {
    const { id, version, plan, orderKey, labels } = this.#job;
    const { links, heard, answerMs, onStep } = this.#options;
    const recordIds = [...labels.keys()];
    const alignment: Alignment = { version, rows: recordIds, tombstones: new Set() };
    const perEpoch = epochBatches(alignment, orderKey, 0, plan).length;
    for (const link of links) {
      link.modelDigest = '';
      link.send({ $case: 'startTraining', value: { version, seed: hex(orderKey), recordIds, job: id } });
    }
    const digests: Record<string, string> = {};
    let step = 0;
    for (let epoch = 0; epoch < plan.epochs; epoch++) {
      for (const batch of epochBatches(alignment, orderKey, epoch, plan)) {
        const root = batchRoot(batch);
        await this.#step(
          { jobId: id, epoch, step, attempt: 1, alignmentVersion: version, batchRoot: root },
          batch.map((row) => labels.get(row)!),
        );
        step++;
        onStep(step, perEpoch * plan.epochs);
      }
      const committed = await answers(heard, this.#parties, {
        kind: 'committed',
        id: this.#stepId(step - 1),
        timeoutMs: answerMs,
      });
      for (const [party, { modelDigest }] of committed) digests[party] = modelDigest;
    }
    return {
      top: this.#top,
      topDigest: hex(this.#top.digest()),
      digests,
      bytesUp: this.#bytesUp / this.#samples,
      bytesDown: this.#bytesDown / this.#samples,
      steps: step,
    };
  }

  #stepId(step: number): string {
    return `${this.#job.id}:${step}`;
  }

  async #step(start: StepStart, labels: readonly number[]): Promise<void> {
    this.#labels = labels;
    this.#codes = new Map();
    await this.#apply({ type: 'stepPlanned', start, parties: this.#parties });
    while (this.#state.phase !== 'idle') {
      const event = await this.#next(start);
      if (event) await this.#apply(event);
    }
    if (this.#failure) throw this.#failure;
  }

  async #next(start: StepStart): Promise<CoordinatorEvent | undefined> {
    const next = await this.#options.heard.next(this.#options.answerMs);
    if (!next) {
      const answered = this.#state.phase === 'idle' ? [] : this.#state.answered;
      const party = this.#parties.find((name) => !answered.includes(name))!;
      return this.#fail(party, silent([party]));
    }
    const { party, said } = next;
    if (!said) return this.#fail(party, FEDERATION.PARTY_MISSING(`${party} left`, details(party)));
    const stepId = this.#stepId(start.step);
    if (said.$case === 'refusal' && [stepId, this.#job.id].includes(said.value.stepId)) {
      return this.#fail(party, refused(party, said.value));
    }
    if (said.$case === 'codes' && said.value.stepId === stepId) {
      this.#codes.set(party, said.value.codes);
      return { type: 'codesArrived', party, start };
    }
    if (said.$case === 'ready' && said.value.stepId === stepId) return { type: 'updateReady', party, start };
    return undefined;
  }

  #fail(party: string, error: Error): CoordinatorEvent {
    this.#failure = error;
    return { type: 'partyFailed', party, reason: error.message };
  }

  async #apply(event: CoordinatorEvent): Promise<void> {
    const { state, effects } = coordinateStep(this.#state, event);
    this.#state = state;
    for (const effect of effects) await this.#perform(effect);
  }

  async #perform(effect: CoordinatorEffect): Promise<void> {
    const { links } = this.#options;
    const { start } = effect;
    const stepId = this.#stepId(start.step);
    switch (effect.type) {
      case 'sendStart': {
        const { epoch, step } = start;
        const value = { stepId, epoch, step, manifest: fromHex(start.batchRoot) };
        for (const link of links) link.send({ $case: 'startStep', value });
        return;
      }
      case 'trainTop': {
        const codes = this.#parties.map((party) => this.#codes.get(party)!);
        const learningRate = learningRateAt(this.#job.plan, start.epoch);
        const { gradients } = await this.#top.train(codes, this.#labels, learningRate);
        for (const [i, link] of links.entries()) {
          link.send({ $case: 'gradients', value: { stepId, gradients: gradients[i]! } });
          this.#bytesUp += codes[i]!.length;
          this.#bytesDown += gradients[i]!.length;
          this.#samples += this.#labels.length;
        }
        return;
      }
      case 'commit':
        this.#top.commit();
        for (const link of links) link.send({ $case: 'commit', value: { stepId } });
        return;
      case 'abort':
        this.#top.abort();
        for (const link of links) link.send({ $case: 'abort', value: { stepId } });
    }
  }
}

const details = (party: string) => ({ details: { parties: party } });
