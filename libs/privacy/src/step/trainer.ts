import type { Model, NormPlan } from '@lethe/graph';
import { type Optimizer, type TrainStepGraph, updateGraph } from '@lethe/optim';
import { float32, zeros } from '@lethe/tensor';
import { adaptiveClipping } from '../clipping/adaptive.ts';
import { BoundedSum, type ClippedStep } from '../clipping/bounded-sum.ts';
import { PRIVACY } from '../errors.ts';
import { addGaussianNoise, addStepNoise, GaussianStream } from '../noise/gaussian.ts';
import { type NoiseGrid, noiseGrid } from '../noise/grid.ts';
import { type DpPlan, planHash } from '../plan.ts';
import type { PrivacyRandomness, RunMode } from '../randomness.ts';
import { drawSizeMax, drawUnits } from '../sampling/draw.ts';
import { dpSgdStep } from './dp-sgd.ts';
import {
  chunkGraph,
  dimensionOf,
  fusedGraph,
  type PrivateModel,
  requireExamples,
  requireMasked,
  requirePopulation,
  type SumsGraph,
  type Tensors,
  type UnitSource,
} from './private-model.ts';

/** A graph that runs; `Session` of @lethe/runtime is one. */
export interface LoadedGraph {
  run(feeds: Tensors): Promise<Tensors>;
  close(): Promise<void>;
}

/** A step graph that keeps its state; `TrainStep` of @lethe/runtime is one. */
export interface LoadedStep {
  readonly steps: number;
  /** @param accept looks at the outputs; where it says no, the step is not taken */
  run(feeds: Tensors, learningRate: number, accept?: (outputs: Tensors) => boolean): Promise<Tensors>;
  current(): Tensors;
  parameters(): Record<string, TensorF32>;
  optimizerState(): Record<string, TensorF32>;
  load(parameters: Tensors, optimizerState?: Tensors, steps?: number): void;
  close(): Promise<void>;
}
type TensorF32 = ReturnType<typeof float32>;

/** What runs graphs. `{ load: Session.create, loadStep: TrainStep.create }` with options. */
export interface Engine {
  load(model: Model): Promise<LoadedGraph>;
  loadStep(graph: TrainStepGraph, initial: Tensors): Promise<LoadedStep>;
}

/** The noise of step 0, 1, 2, … in the order of the parameters, on one grid; `NoiseWorker` of @lethe/runtime makes it in advance. */
export interface StepNoiseSource {
  /** Of the randomness that it was made from: a plan takes noise of its own mode only. */
  readonly mode: RunMode;
  next(step: number): Promise<readonly Float32Array[]> | readonly Float32Array[];
  close(): Promise<void> | void;
}

export interface DpTraining {
  readonly plan: DpPlan;
  readonly model: PrivateModel;
  readonly units: UnitSource;
  readonly optimizer: Optimizer;
  /** Of step 0, 1, 2, …: a number, or a schedule that was fixed beforehand. */
  readonly learningRate: number | ((step: number) => number);
  /** Trained parameters to start from, and those that stay as they are. */
  readonly initial: Tensors;
  readonly randomness: PrivacyRandomness;
  readonly engine: Engine;
  readonly execution: {
    /** Units in one run of the model: a schedule. If every draw fits, a step is a single run. */
    readonly unitsPerRun: number;
    /** Makes noise elsewhere, from this very randomness (`NoiseWorker.start`); without it noise is made between the runs. */
    readonly noise?: (order: {
      readonly randomness: PrivacyRandomness;
      readonly grid: NoiseGrid;
      /** Number of values of each parameter. */
      readonly lengths: readonly number[];
    }) => StepNoiseSource;
  };
}

/** A plan in execution. Its parameters are public after every step; everything else stays inside. */
export interface DpTrainer {
  readonly planHash: string;
  /** Whether a step is one run of one graph. */
  readonly fused: boolean;
  /** How each parameter's norm is had; for people. */
  readonly norms: readonly NormPlan[];
  /** Steps done, those before a resumption included. */
  readonly steps: number;
  /** The bound in force: the plan's, or where adaptive clipping has moved it. Public. */
  readonly l2ClipNorm: number;
  /** One step. It has been charged before. @throws LETHE-3304 the plan has no step left; LETHE-3305 nothing was released */
  step(): Promise<void>;
  parameters(): Record<string, TensorF32>;
  optimizerState(): Record<string, TensorF32>;
  /**
   * Goes on from a state that a trainer of this plan has published, at a step that is not behind this one's.
   * @throws LETHE-3307 a number of steps or a clip norm that this plan cannot have reached
   */
  resume(state: { parameters: Tensors; optimizerState: Tensors; steps: number; l2ClipNorm?: number }): void;
  close(): Promise<void>;
}

/**
 * Loads a plan for execution. Everything that can be refused is refused here, before a unit is looked at.
 * @throws LETHE-3024 the model has no per-example gradients, with the node and the way out; LETHE-3301, 3307 the plan does not fit
 */
export async function createDpTrainer(training: DpTraining): Promise<DpTrainer> {
  const { plan, units, randomness } = training;
  const { population } = units;
  requirePopulation(plan, population);
  if (plan.noise.mode !== randomness.mode) {
    throw PRIVACY.PLAN_REFUSED(
      `noise.mode is ${plan.noise.mode}, and the source of randomness is for ${randomness.mode}`,
      {
        details: { field: 'noise.mode' },
      },
    );
  }
  const drawMax = drawSizeMax(plan.sampling);
  const fits = drawMax <= training.execution.unitsPerRun && plan.clipping.kind !== 'adaptive';
  const draw = (): Uint32Array => drawUnits(plan.sampling, population, randomness);
  const stepper = await (fits
    ? fusedTrainer(training, draw, drawMax)
    : chunkedTrainer(training, draw, drawMax));
  return trainerOf(training, stepper);
}

const rateOf = ({ learningRate }: DpTraining, step: number): number =>
  typeof learningRate === 'number' ? learningRate : learningRate(step);

const noiseOf = (
  { execution, randomness }: DpTraining,
  grid: NoiseGrid,
  lengths: readonly number[],
): StepNoiseSource => {
  if (execution.noise) {
    const source = execution.noise({ randomness, grid, lengths });
    if (source.mode === randomness.mode) return source;
    throw PRIVACY.SEEDED_SOURCE(`a ${randomness.mode} run got noise of a ${source.mode} source`);
  }
  const stream = new GaussianStream(randomness);
  return {
    mode: randomness.mode,
    next: (step) => {
      const values = lengths.map((length) => new Float32Array(length));
      stream.fill(step, grid, values);
      return values;
    },
    close: () => undefined,
  };
};

const lengthsOf = (parameters: readonly { readonly shape: readonly number[] }[]): number[] =>
  parameters.map((parameter) => dimensionOf([parameter]));

const normsOf = (outputs: Tensors): Float32Array => outputs.norms!.data as Float32Array;
const allFinite = (outputs: Tensors): boolean => normsOf(outputs).every(Number.isFinite);

/**
 * Runs units and, if some of them have a norm that is not finite, the others again: a unit without a finite gradient adds nothing. What the first
 * run gave is released to nobody.
 * @throws LETHE-3305 the others break as well
 */
async function runFinite(
  drawn: Uint32Array,
  run: (units: Uint32Array) => Promise<Tensors>,
): Promise<{ readonly units: Uint32Array; readonly outputs: Tensors }> {
  const outputs = await run(drawn);
  if (allFinite(outputs)) return { units: drawn, outputs };
  const norms = normsOf(outputs);
  const units = drawn.filter((_, at) => Number.isFinite(norms[at]!));
  const again = await run(units);
  if (allFinite(again)) return { units, outputs: again };
  throw PRIVACY.SENSITIVITY_UNKNOWN(
    'norms are not finite even without the units that broke them: the parameters have diverged',
  );
}

/** What differs between the two ways to run a step. */
interface Stepper {
  readonly fused: boolean;
  readonly norms: readonly NormPlan[];
  readonly state: LoadedStep;
  l2ClipNorm: number;
  step(): Promise<void>;
  close(): Promise<void>;
}

function trainerOf({ plan }: DpTraining, stepper: Stepper): DpTrainer {
  const { state } = stepper;
  let last: Promise<void> = Promise.resolve();
  async function next(): Promise<void> {
    if (state.steps >= plan.steps) {
      throw PRIVACY.BUDGET_EXHAUSTED(`all ${plan.steps} planned steps are done`, {
        details: { steps: plan.steps },
      });
    }
    await stepper.step();
  }
  const refuse = (field: string, message: string): never => {
    throw PRIVACY.PLAN_REFUSED(message, { details: { field } });
  };
  return {
    planHash: planHash(plan),
    fused: stepper.fused,
    norms: stepper.norms,
    get steps() {
      return state.steps;
    },
    get l2ClipNorm() {
      return stepper.l2ClipNorm;
    },
    step() {
      // One after the other, however they are called: the limit is looked at before each.
      const turn = last.then(next);
      last = turn.catch(() => undefined);
      return turn;
    },
    parameters: () => state.parameters(),
    optimizerState: () => state.optimizerState(),
    resume({ parameters, optimizerState, steps, l2ClipNorm = stepper.l2ClipNorm }) {
      if (!(Number.isInteger(steps) && steps >= state.steps && steps <= plan.steps)) {
        refuse('steps', `steps is ${steps}; a resumption of this plan is at ${state.steps} to ${plan.steps}`);
      }
      const movable = plan.clipping.kind === 'adaptive' && l2ClipNorm > 0 && Number.isFinite(l2ClipNorm);
      if (!movable && l2ClipNorm !== plan.clipping.l2ClipNorm) {
        refuse(
          'l2ClipNorm',
          `l2ClipNorm is ${l2ClipNorm}; only adaptive clipping moves it, and keeps it positive`,
        );
      }
      state.load(parameters, optimizerState, steps);
      stepper.l2ClipNorm = l2ClipNorm;
    },
    close: () => stepper.close(),
  };
}

/** A step is one run of one graph: draw, noise, run. */
async function fusedTrainer(
  training: DpTraining,
  draw: () => Uint32Array,
  capacity: number,
): Promise<Stepper> {
  const { plan, model, units, engine, optimizer } = training;
  const { graph, grid } = fusedGraph(plan, model, capacity, optimizer);
  const state = await engine.loadStep(graph, training.initial);
  const feedsOf = (taken: Uint32Array): Tensors => requireExamples(units.feeds(taken, capacity), graph.model);
  const silent = Object.fromEntries(graph.noise.map(({ name, shape }) => [name, zeros('float32', shape)]));
  const padding = await state.run({ ...feedsOf(new Uint32Array(0)), ...silent }, 1, () => false);
  requireMasked(normsOf(padding), plan.clipping.l2ClipNorm);
  const noise = noiseOf(training, grid, lengthsOf(graph.parameters));
  let drawn = 0;
  return {
    fused: true,
    norms: graph.norms,
    state,
    l2ClipNorm: plan.clipping.l2ClipNorm,
    async step() {
      const sampled = draw();
      const values = await noise.next(drawn++);
      const feeds: Record<string, TensorF32> = {};
      for (const [p, { name, shape }] of graph.noise.entries()) feeds[name] = float32(shape, values[p]!);
      const rate = rateOf(training, state.steps);
      await runFinite(sampled, (taken) => state.run({ ...feedsOf(taken), ...feeds }, rate, allFinite));
    },
    async close() {
      await noise.close();
      await state.close();
    },
  };
}

/** A step is several runs, whose sums are added up in float64, and an update: for draws that do not fit into one run, and adaptive clipping. */
async function chunkedTrainer(
  training: DpTraining,
  draw: () => Uint32Array,
  drawMax: number,
): Promise<Stepper> {
  const { plan, model, units, engine, optimizer, randomness, execution } = training;
  const { unitsPerRun } = execution;
  const graph = chunkGraph(plan, model, unitsPerRun, Math.ceil(drawMax / unitsPerRun));
  const state = await engine.loadStep(updateGraph(graph.parameters, optimizer), training.initial);
  const session = await engine.load(graph.model);
  const lengths = lengthsOf(graph.parameters);
  const adaptive =
    plan.clipping.kind === 'adaptive' ? adaptiveClipping(plan, plan.clipping, randomness) : undefined;
  const frozen = frozenOf(training.initial, graph);
  const sumsOf = (taken: Uint32Array, l2ClipNorm: number): Promise<Tensors> =>
    session.run({
      ...requireExamples(units.feeds(taken, unitsPerRun), graph.model),
      ...frozen,
      ...state.current(),
      ...(adaptive ? { l2ClipNorm: float32([], Float32Array.of(l2ClipNorm)) } : {}),
    });
  const padding = await sumsOf(new Uint32Array(0), plan.clipping.l2ClipNorm);
  requireMasked(normsOf(padding), plan.clipping.l2ClipNorm);
  const clippedStep: ClippedStep = {
    unitsPerRun,
    lengths,
    rounding: graph.rounding,
    async clippedSum(chunk, l2ClipNorm) {
      const { units: sound, outputs } = await runFinite(chunk, (taken) => sumsOf(taken, l2ClipNorm));
      adaptive?.count(normsOf(outputs).subarray(0, sound.length), l2ClipNorm);
      return graph.parameters.map(({ name }) => outputs[`sum.${name}`]!.data as Float32Array);
    },
  };
  const gridAt = (l2ClipNorm: number): NoiseGrid =>
    noiseGrid(
      BoundedSum.bound(clippedStep, l2ClipNorm, drawMax),
      plan.noise.multiplier,
      dimensionOf(graph.parameters),
    );
  const fixed = adaptive ? undefined : noiseOf(training, gridAt(plan.clipping.l2ClipNorm), lengths);
  const stream = fixed ? undefined : new GaussianStream(randomness);
  let drawn = 0;
  const stepper: Stepper = {
    fused: false,
    norms: graph.norms,
    state,
    l2ClipNorm: plan.clipping.l2ClipNorm,
    async step() {
      adaptive?.start();
      await dpSgdStep({
        sample: draw,
        clippedSum: (taken) => BoundedSum.of(clippedStep, taken, stepper.l2ClipNorm, drawMax),
        addNoise: async (sum) =>
          stream
            ? addGaussianNoise(sum, plan.noise.multiplier, stream)
            : addStepNoise(sum, gridAt(stepper.l2ClipNorm), await fixed!.next(drawn++)),
        update: async (gradient) => {
          const feeds: Record<string, TensorF32> = {};
          for (const [p, { name, shape }] of graph.parameters.entries())
            feeds[`gradient.${name}`] = float32(shape, Float32Array.from(gradient[p]!));
          await state.run(feeds, rateOf(training, state.steps));
        },
        expectedUnits: plan.expectedUnits,
      });
      if (adaptive) stepper.l2ClipNorm = adaptive.next(stepper.l2ClipNorm);
    },
    async close() {
      await fixed?.close();
      await session.close();
      await state.close();
    },
  };
  return stepper;
}

/** Inputs of the model that are given beforehand and not trained. */
const frozenOf = (initial: Tensors, { model, parameters }: SumsGraph): Tensors =>
  Object.fromEntries(
    model.inputs
      .filter(({ name }) => initial[name] && !parameters.some((parameter) => parameter.name === name))
      .map(({ name }) => [name, initial[name]!]),
  );
