/**
 * A run of DP-SGD. Steps are charged in blocks before they run. A block's charge names the weights from which it starts, so that a
 * run that was cut short goes on there: the lost block stays charged, and the model has fewer steps than it has paid for, never more.
 */
import { EVENT, type events, type learning } from '@lethe/contracts';
import { vectorWidth } from '@lethe/datasets';
import { newEvent } from '@lethe/events';
import {
  ACCOUNTANT_VERSION,
  chargeReservation,
  epsilonSpent,
  type MechanismSpec,
  mechanismHash,
  openLedger,
  type PrivacyLedger,
  PrivacyRandomness,
  reserveSteps,
} from '@lethe/privacy';
import { exclusions, loggedRoot } from '@lethe/service';
import { hex } from '@lethe/std';
import { tensorsDigest } from '@lethe/tensor';
import { type LearningContext, type LoadedRun, runName } from '../context.ts';
import { stepsCharged } from '../domain/training-run.ts';
import { LEARNING } from '../errors.ts';
import { calibrated } from './calibrate.ts';
import {
  dpTrainer,
  expectedSubjects,
  type SoftmaxWeights,
  subjectRows,
  weightsOf,
  zeroWeights,
} from './dp-softmax.ts';
import { datasetSpec, type People, readPeople } from './rows.ts';
import { decodeWeights, encodeWeights } from './tensors-file.ts';
import type { Trained } from './train-ensemble.ts';

/** A crash loses at most a quarter of the run. */
const BLOCKS = 4;

/** Weights between blocks, and how many steps are in them. */
interface Reached {
  readonly weights: SoftmaxWeights;
  readonly steps: number;
}

export async function trainDp(
  context: LearningContext,
  loaded: LoadedRun,
  spec: learning.DpSgdSpec,
): Promise<Trained> {
  const { tenant, id, run } = loaded;
  const { peers, random } = context.deps;
  const { root } = run.spec;
  const logged = await loggedRoot(peers, root, context.settings.logWaitMs, LEARNING.ROOT_NOT_LOGGED);
  const dataset = await datasetSpec(peers, root);
  const people = await readPeople(peers, root, dataset, await exclusions(peers, root));
  checkSubjects(people, spec.rowsPerSubjectMax);
  const [features, classes] = [vectorWidth(dataset), dataset.label.classes.length];
  const mechanism = await calibrated(spec);
  const randomness = new PrivacyRandomness('production', random);
  const trainer = await dpTrainer({
    mechanism,
    randomness,
    subjects: subjectRows(people, features),
    rowsPerSubject: spec.rowsPerSubjectMax,
    features,
    classes,
    learningRate: spec.learningRate,
    momentum: spec.momentum,
    expectedSubjects: expectedSubjects(
      mechanism.samplingProbability,
      Number(logged.recordCount) - people.excludedRecords,
      spec.rowsPerSubjectMax,
    ),
  });
  let ledger = ledgerOf(mechanism, run.charged);
  let reached = await lastReached(context, tenant, run.charged, zeroWeights(features, classes));
  try {
    let done = ledger.stepsCharged;
    const progress = (): void => {
      context.progress.set(runName(tenant, id), { done: done++, total: spec.steps, phase: 'DP-SGD steps' });
    };
    progress();
    while (ledger.stepsCharged < mechanism.steps) {
      const { firstStep, steps } = reserveSteps(ledger, Math.ceil(mechanism.steps / BLOCKS));
      ledger = await charge(context, loaded, ledger, { firstStep, steps }, reached);
      const weights = await trainer.run(reached.weights, steps, progress);
      reached = { weights, steps: reached.steps + steps };
    }
  } finally {
    await trainer.close();
  }
  if (reached.steps === 0) {
    throw LEARNING.PRIVACY_LOST('every charged step was lost before its result was stored', {
      details: { steps: mechanism.steps },
    });
  }
  const header = { format: 'lethe-dp-softmax-v1' };
  return {
    state: await context.state.put(tenant, `learning-${id}-v1`, encodeWeights(header, [reached.weights])),
    digest: hex(tensorsDigest(reached.weights)),
    shardDigests: [hex(tensorsDigest(reached.weights))],
    optimizerSteps: reached.steps,
    privacy: {
      epsilonUpper: epsilonSpent(ledger),
      delta: mechanism.delta,
      noiseMultiplier: mechanism.noiseMultiplier,
      samplingProbability: mechanism.samplingProbability,
      steps: ledger.stepsCharged,
      l2ClipNorm: mechanism.l2ClipNorm,
      neighboringRelation: mechanism.neighboringRelation,
      unit: mechanism.unit,
      accountant: ACCOUNTANT_VERSION,
      randomSource: randomness.sourceKind,
    },
  };
}

function checkSubjects({ members }: People, rowsMax: number): void {
  const tooLarge = members.filter(({ rows }) => rows.length > rowsMax).length;
  if (tooLarge > 0) {
    throw LEARNING.SUBJECT_TOO_LARGE(`${tooLarge} subjects have more than ${rowsMax} records`, {
      details: { subjects: tooLarge, rowsPerSubjectMax: rowsMax },
    });
  }
}

function ledgerOf(mechanism: MechanismSpec, charged: readonly events.PrivacySpent[]): PrivacyLedger {
  return charged.reduce(
    (ledger, { firstStep, steps, mechanismDigest }) =>
      chargeReservation(ledger, { mechanismHash: mechanismDigest, firstStep, steps }),
    openLedger(mechanism),
  );
}

/** Where the last charged block has started: what came after it is lost. */
async function lastReached(
  { state }: LearningContext,
  tenant: string,
  charged: readonly events.PrivacySpent[],
  zero: SoftmaxWeights,
): Promise<Reached> {
  const start = charged.at(-1)?.start;
  if (!start) return { weights: zero, steps: 0 };
  const { header, sets } = decodeWeights<{ steps: number }>(await state.get(tenant, start));
  return { weights: weightsOf(sets[0]!), steps: header.steps };
}

/** Commits the charge, and returns once it has been read back. @throws LETHE-4314 another process trains this run, too */
async function charge(
  { state, runs }: LearningContext,
  { tenant, id }: LoadedRun,
  ledger: PrivacyLedger,
  block: { readonly firstStep: number; readonly steps: number },
  reached: Reached,
): Promise<PrivacyLedger> {
  const { spec } = ledger;
  const after = chargeReservation(ledger, { ...block, mechanismHash: mechanismHash(spec) });
  const keyId = `learning-${id}-start-${block.firstStep}`;
  const start =
    reached.steps > 0
      ? await state.put(tenant, keyId, encodeWeights({ steps: reached.steps }, [reached.weights]))
      : undefined;
  const spent: events.PrivacySpent = {
    run: runName(tenant, id),
    ...block,
    mechanismDigest: mechanismHash(spec),
    epsilonUpper: epsilonSpent(after),
    delta: spec.delta,
    start,
  };
  await runs.propose(tenant, id, (now) => {
    if (stepsCharged(now) !== block.firstStep) throw LEARNING.RUN_CHANGED('another process trains this run');
    // An id of its own: of two processes that charge the same steps, only the one whose event counts may run them.
    return [newEvent(EVENT.privacySpent, spent)];
  });
  return after;
}
