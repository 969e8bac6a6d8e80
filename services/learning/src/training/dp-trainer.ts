/**
 * A classifier by a plan. Rows are prepared each by itself (`preparation.ts`), and training starts from zeros or random weights: neither looks at anybody
 * else. Everything after the noise (velocity, model, predictions) is post-processing.
 */
import type { learning } from '@lethe/contracts';
import { type MlpSpec, mlpParameters } from '@lethe/graph';
import { initialWeights, momentum, sgd } from '@lethe/optim';
import {
  createDpTrainer,
  type DpPlan,
  mlpModel,
  type PrivacyRandomness,
  rowUnits,
  type UnitRows,
} from '@lethe/privacy';
import { NoiseWorker, onnxEngine } from '@lethe/runtime';
import type { RandomSource } from '@lethe/std';
import { float32, type Tensor, zeros } from '@lethe/tensor';

export type Weights = Readonly<Record<string, Tensor<'float32'>>>;

/** A run between two steps: public, since it was made of noisy sums alone. */
export interface DpState {
  readonly weights: Weights;
  readonly optimizer: Weights;
  /** Steps that are in it. */
  readonly steps: number;
  /** The bound in force. */
  readonly l2ClipNorm: number;
}

export interface DpTraining {
  readonly plan: DpPlan;
  readonly randomness: PrivacyRandomness;
  readonly units: readonly UnitRows[];
  readonly rowsPerUnit: number;
  readonly model: MlpSpec;
  readonly learningRate: number;
  readonly momentum: number;
  /** Where to go on; from zero weights without it. */
  readonly from?: DpState;
}

/** Input values of one run of the graph: 32 MB. A schedule, without influence on what is released. */
const VALUES_PER_RUN = 8 * 1024 * 1024;
const UNITS_PER_RUN_MAX = 1_024;

/** Parameters from which a step's noise, 6 ns a value, is worth a thread that makes it ahead: the thread takes 50 MB. */
const NOISE_AHEAD_FROM = 100_000;

const valuesOf = (model: MlpSpec): number =>
  mlpParameters(model).reduce(
    (sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1),
    0,
  );

/** What is trained and asked. @param spec of the run; of release 0.1 it names no architecture */
export function privateClassifier(
  { architecture, hiddenUnits }: Pick<learning.DpSgdSpec, 'architecture' | 'hiddenUnits'>,
  features: number,
  classes: number,
): MlpSpec {
  const hidden = architecture === 'mlp' ? [hiddenUnits ?? 0] : [];
  return { widths: [features, ...hidden, classes], activation: 'relu' };
}

/** Zeros where they can be trained from, else random weights: both know nothing of anybody. */
function startWeights(model: MlpSpec, random: RandomSource): Weights {
  if (model.widths.length > 2) return initialWeights(model, random);
  const [features, classes] = [model.widths[0]!, model.widths[1]!];
  return { 'dense0.w': zeros('float32', [features, classes]), 'dense0.b': zeros('float32', [classes]) };
}

export interface RunningDp {
  /**
   * Runs so many steps, which the caller has charged before, or fewer if it is told to stop.
   * @returns where the run is then
   */
  run(
    steps: number,
    watch: { readonly onStep: () => void; readonly shouldStop: () => boolean },
  ): Promise<DpState>;
  state(): DpState;
  close(): Promise<void>;
}

/** @throws LETHE-33xx the plan cannot be run on these units */
export async function dpTrainer(training: DpTraining): Promise<RunningDp> {
  const { plan, units, rowsPerUnit, model, randomness, from } = training;
  const features = model.widths[0]!;
  const perUnit = rowsPerUnit * features;
  const trainer = await createDpTrainer({
    plan,
    model: mlpModel(model, rowsPerUnit),
    units: rowUnits(units, rowsPerUnit, features),
    optimizer: training.momentum === 0 ? sgd() : momentum({ decay: training.momentum }),
    learningRate: training.learningRate,
    initial: startWeights(model, randomness.source),
    randomness,
    engine: onnxEngine(),
    execution: {
      unitsPerRun: Math.max(1, Math.min(UNITS_PER_RUN_MAX, Math.floor(VALUES_PER_RUN / perUnit))),
      ...(valuesOf(model) > NOISE_AHEAD_FROM ? { noise: NoiseWorker.start } : {}),
    },
  });
  if (from) trainer.resume({ ...from, parameters: from.weights, optimizerState: from.optimizer });
  const state = (): DpState => ({
    weights: trainer.parameters(),
    optimizer: trainer.optimizerState(),
    steps: trainer.steps,
    l2ClipNorm: trainer.l2ClipNorm,
  });
  return {
    state,
    async run(steps, { onStep, shouldStop }) {
      for (let step = 0; step < steps && !shouldStop(); step++) {
        await trainer.step();
        onStep();
      }
      return state();
    },
    close: () => trainer.close(),
  };
}

export const weightsOf = (tensors: Readonly<Record<string, Tensor>>): Weights =>
  Object.fromEntries(
    Object.entries(tensors).map(([name, { shape, data }]) => [name, float32(shape, data as Float32Array)]),
  );
