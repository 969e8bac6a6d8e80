/**
 * A private run: runs its plan. Steps are charged in blocks before they run. A block's charge names the weights from which it starts, so that a
 * run that was cut short goes on there: the lost block stays charged, and the model has fewer steps than it has paid for, never more.
 */
import { EVENT, type events, type learning } from '@lethe/contracts';
import { vectorWidth } from '@lethe/datasets';
import { newEvent } from '@lethe/events';
import {
  chargeReservation,
  type DpPlan,
  type LedgerCharge,
  type PlanCost,
  type PrivacyLedger,
  PrivacyRandomness,
  parsePlan,
  planBytes,
  reserveSteps,
  verifyLedger,
} from '@lethe/privacy';
import { datasetOfRoot, exclusions, loggedRoot } from '@lethe/service';
import { hex } from '@lethe/std';
import { tensorsDigest } from '@lethe/tensor';
import { type LearningContext, type LoadedRun, runName } from '../context.ts';
import { filledDpSgdSpec } from '../domain/dp-sgd-spec.ts';
import { attemptOf, isRunning, lastWeights, type Run, stepsCharged } from '../domain/training-run.ts';
import { LEARNING } from '../errors.ts';
import type { Wanted } from '../privacy-budgets.ts';
import type { StopSignal } from '../stop-signal.ts';
import { accounting } from './accounting.ts';
import { type DpState, dpTrainer, privateClassifier, type Weights, weightsOf } from './dp-trainer.ts';
import { planned } from './planning.ts';
import { preparation } from './preparation.ts';
import { datasetSpec, type People, readPeople } from './rows.ts';
import { decodeWeights, encodeWeights } from './tensors-file.ts';
import type { Trained } from './train-ensemble.ts';
import { unitRowsOf } from './units.ts';

/** A crash loses at most a quarter of the run. */
const BLOCKS = 4;
/** Different values of progress that a run shows. */
const PROGRESS_SHOWN = 20;

/** The run was cancelled; what it has reached is stored, unless that is nothing. */
export interface Stopped {
  readonly stopped: true;
  readonly weights: events.ArtefactRef | undefined;
  readonly steps: number;
}

export async function trainDp(
  context: LearningContext,
  loaded: LoadedRun,
  asked: learning.DpSgdSpec,
  stop: StopSignal,
): Promise<Trained | Stopped> {
  const { tenant, id, run } = loaded;
  const { peers, random } = context.deps;
  const { root } = run.spec;
  const name = runName(tenant, id);
  requireContinued(run);
  const logged = await loggedRoot(peers, root, context.settings.logWaitMs, LEARNING.ROOT_NOT_LOGGED);
  const spec = filledDpSgdSpec(asked, Number(logged.recordCount));
  const dataset = await datasetSpec(peers, root);
  const plan = parsePlan(run.plan ?? (await planned(context, root, asked)));
  let ledger = verifyLedger(plan, name, run.charged.map(chargeOf));
  // On another thread, while records are read and the graph is built.
  const pricing = pricesOf(plan, ledger.stepsCharged);
  pricing.catch(() => undefined);
  const people = await readPeople(peers, root, dataset, await exclusions(peers, root));
  checkSubjects(people, spec.rowsPerSubjectMax);
  const randomness = new PrivacyRandomness(plan.noise.mode, random);
  await context.privacy.reserve(wantedOf(loaded, plan));
  const { width, prepare } = preparation(plan.features?.name ?? 'none', dataset);
  const from = await lastReached(context, tenant, run);
  const trainer = await dpTrainer({
    plan,
    randomness,
    units: await unitRowsOf(people, plan.unit, vectorWidth(dataset), prepare),
    rowsPerUnit: plan.unit === 'record' ? 1 : spec.rowsPerSubjectMax,
    model: privateClassifier(spec, width, dataset.label.classes.length),
    learningRate: spec.learningRate,
    momentum: spec.momentum,
    ...(from ? { from } : {}),
  });
  let reached = trainer.state();
  try {
    const prices = await pricing;
    let done = ledger.stepsCharged;
    // How long a single step takes tells how many units it drew, so a watcher sees many steps at a time.
    const shown = Math.ceil(plan.steps / PROGRESS_SHOWN);
    const progress = (): void => {
      const seen = done - (done % shown);
      context.progress.set(name, { done: seen, total: plan.steps, phase: 'DP-SGD steps' });
      done++;
    };
    progress();
    while (ledger.stepsCharged < plan.steps && !stop.requested) {
      const charge = reserveSteps(ledger, blockSteps(plan));
      ledger = await commitCharge(context, loaded, ledger, charge, prices, reached);
      reached = await trainer.run(charge.steps, { onStep: progress, shouldStop: () => stop.requested });
    }
  } finally {
    await trainer.close();
  }
  if (stop.requested) return await stopped(context, loaded, reached);
  if (reached.steps === 0) {
    throw LEARNING.PRIVACY_LOST('every charged step was lost before its result was stored', {
      details: { steps: plan.steps },
    });
  }
  const header = { format: 'lethe-dp-softmax-v1' };
  return {
    state: await context.state.put(tenant, `learning-${id}-v1`, encodeWeights(header, [reached.weights])),
    digest: hex(tensorsDigest(reached.weights)),
    shardDigests: [hex(tensorsDigest(reached.weights))],
    optimizerSteps: reached.steps,
    privacy: guarantee(ledger, (await pricing).get(ledger.stepsCharged)!, randomness),
  };
}

/** @throws LETHE-4319 the ledger is one of release 0.1 */
function requireContinued({ charged }: Run): void {
  if (charged.some(({ planHash }) => planHash === undefined)) {
    throw LEARNING.LEDGER_OLD('the charges of the run name no plan', { details: { blocks: charged.length } });
  }
}

/**
 * Whether it refuses depends on the data, which no noise covers: it says one bit for each `rowsMax` that somebody tries, and never how many subjects.
 * @throws LETHE-4306
 */
function checkSubjects({ members }: People, rowsMax: number): void {
  if (members.every(({ rows }) => rows.length <= rowsMax)) return;
  throw LEARNING.SUBJECT_TOO_LARGE(`at least one subject has more than ${rowsMax} records`, {
    details: { rowsPerSubjectMax: rowsMax },
  });
}

const wantedOf = ({ tenant, id, run }: LoadedRun, plan: DpPlan): Wanted => ({
  tenant,
  dataset: datasetOfRoot(run.spec.root),
  run: runName(tenant, id),
  plan: planBytes(plan),
  attempt: attemptOf(run),
});

const blockSteps = (plan: DpPlan): number => Math.ceil(plan.steps / BLOCKS);

/** A charge as the ledger knows it. */
export const chargeOf = ({
  firstStep,
  steps,
  planHash,
  block,
  previous,
  digest,
}: events.PrivacySpent): LedgerCharge => ({
  planHash: planHash ?? '',
  block: block ?? -1,
  firstStep,
  steps,
  previous: previous ?? '',
  digest: digest ?? '',
});

/** What is spent where each coming block ends, by steps: priced at once, on another thread, before the first of them. */
async function pricesOf(plan: DpPlan, from: number): Promise<ReadonlyMap<number, PlanCost>> {
  const steps = [plan.steps];
  for (let at = from + blockSteps(plan); at < plan.steps; at += blockSteps(plan)) steps.unshift(at);
  const costs = await accounting('costs', { plan: planBytes(plan), steps });
  return new Map(steps.map((count, i) => [count, costs[i]!]));
}

function guarantee(
  { plan, planHash, head, stepsCharged: steps }: PrivacyLedger,
  cost: PlanCost,
  { sourceKind }: PrivacyRandomness,
): learning.PrivacyGuarantee {
  return {
    epsilonUpper: cost.epsilonUpper,
    delta: plan.delta,
    noiseMultiplier: plan.noise.multiplier,
    samplingProbability: plan.sampling.probability,
    steps,
    l2ClipNorm: plan.clipping.l2ClipNorm,
    neighboringRelation: plan.relation,
    unit: plan.unit,
    accountant: cost.accountant,
    randomSource: sourceKind,
    plan: planBytes(plan),
    planHash,
    ledgerHead: head,
    epsilonRdp: cost.epsilonRdp,
    ...(cost.epsilonIndependent === null
      ? { secondOpinion: 'not-possible' }
      : { secondOpinion: 'agreed', epsilonIndependent: cost.epsilonIndependent }),
  };
}

interface StateHeader {
  readonly steps: number;
  readonly l2ClipNorm: number;
  /** Names of the weights; the other tensors are the optimizer's. */
  readonly weights: readonly string[];
}

function encodeState({ weights, optimizer, steps, l2ClipNorm }: DpState): Uint8Array {
  const header: StateHeader = { steps, l2ClipNorm, weights: Object.keys(weights) };
  return encodeWeights(header, [{ ...weights, ...optimizer }]);
}

function decodeState(bytes: Uint8Array): DpState {
  const { header, sets } = decodeWeights<StateHeader>(bytes);
  const pick = (isWanted: (name: string) => boolean): Weights =>
    Object.fromEntries(Object.entries(weightsOf(sets[0]!)).filter(([name]) => isWanted(name)));
  const names = new Set(header.weights);
  return {
    weights: pick((name) => names.has(name)),
    optimizer: pick((name) => !names.has(name)),
    steps: header.steps,
    l2ClipNorm: header.l2ClipNorm,
  };
}

/** Where the run has stopped, or the last charged block has started: what came after it is lost. */
async function lastReached(
  { state }: LearningContext,
  tenant: string,
  run: Run,
): Promise<DpState | undefined> {
  const start = lastWeights(run);
  return start && decodeState(await state.get(tenant, start));
}

/** Stores what a cancelled run has reached: it is paid for, and a resumed run goes on from it. */
async function stopped(
  { state }: LearningContext,
  { tenant, id, run }: LoadedRun,
  reached: DpState,
): Promise<Stopped> {
  if (reached.steps === 0) return { stopped: true, weights: undefined, steps: 0 };
  const keyId = `learning-${id}-stop-${attemptOf(run)}`;
  const weights = await state.put(tenant, keyId, encodeState(reached));
  return { stopped: true, weights, steps: reached.steps };
}

/** Commits the charge, and returns once it has been read back. @throws LETHE-4314 another process trains this run, or it has ended */
async function commitCharge(
  { state, runs, privacy }: LearningContext,
  loaded: LoadedRun,
  ledger: PrivacyLedger,
  charge: LedgerCharge,
  prices: ReadonlyMap<number, PlanCost>,
  reached: DpState,
): Promise<PrivacyLedger> {
  const { tenant, id, run: before } = loaded;
  const after = chargeReservation(ledger, charge);
  // Nothing is charged that does not count: a reservation that somebody gave back is made again, or the run ends here.
  await privacy.reserve(wantedOf(loaded, ledger.plan));
  const keyId = `learning-${id}-start-${charge.firstStep}`;
  const start = reached.steps > 0 ? await state.put(tenant, keyId, encodeState(reached)) : undefined;
  const spent: events.PrivacySpent = {
    run: runName(tenant, id),
    firstStep: charge.firstStep,
    steps: charge.steps,
    mechanismDigest: '',
    epsilonUpper: prices.get(after.stepsCharged)!.epsilonUpper,
    delta: ledger.plan.delta,
    start,
    planHash: charge.planHash,
    block: charge.block,
    previous: charge.previous,
    digest: charge.digest,
  };
  await runs.propose(tenant, id, (now) => {
    const isOurs =
      isRunning(now) && attemptOf(now) === attemptOf(before) && stepsCharged(now) === charge.firstStep;
    if (!isOurs) throw LEARNING.RUN_CHANGED('another process trains this run, or it has ended');
    // An id of its own: of two processes that charge the same steps, only the one whose event counts may run them.
    return [newEvent(EVENT.privacySpent, spent)];
  });
  return after;
}
