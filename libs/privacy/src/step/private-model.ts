import {
  type Clipping,
  clippedGradientSum,
  GraphBuilder,
  type Model,
  type NormPlan,
  type Value,
} from '@lethe/graph';
import type { Optimizer, TrainStepGraph } from '@lethe/optim';
import { trainStepGraph } from '@lethe/optim';
import type { Tensor } from '@lethe/tensor';
import { PRIVACY } from '../errors.ts';
import { type NoiseGrid, noiseGrid } from '../noise/grid.ts';
import type { DpPlan } from '../plan.ts';
import { POISSON_POPULATION_MAX } from '../sampling/draw.ts';

/** What is trained: a model as the losses of single units on a graph. Nothing else about it matters to the guarantee. */
export interface PrivateModel {
  /**
   * Declares the inputs of `units` units, whose rows stand together, and the parameters.
   * @returns `losses`: one value a row, [units * rows], already multiplied by a 0/1 mask; `parameters`: those that are trained
   */
  build(g: GraphBuilder, units: number): { readonly losses: Value; readonly parameters: readonly Value[] };
}

/** Named tensors. */
export type Tensors = Readonly<Record<string, Tensor>>;

/** Where the units' rows come from. */
export interface UnitSource {
  /** Number of units in the data set; read once. Private, unlike the plan's bound on it. */
  readonly population: number;
  /**
   * The model's inputs for these units, in their order, then padding up to `capacity` units with mask 0.
   * The tensors may be used again after the next call.
   */
  feeds(units: Uint32Array, capacity: number): Tensors;
}

/** How the plan's clipping reads in a graph. */
export function graphClipping({ clipping }: DpPlan): Clipping {
  switch (clipping.kind) {
    case 'flat':
    case 'adaptive':
      return { kind: 'flat' };
    case 'automatic':
      return { kind: 'automatic', stability: clipping.stability };
    case 'per-layer':
      return { kind: 'per-layer', bounds: clipping.layerL2ClipNorms };
  }
}

/** The clipped sums of one chunk of units, without noise: what several runs make up a step of. */
export interface SumsGraph {
  readonly model: Model;
  readonly parameters: readonly { readonly name: string; readonly shape: readonly number[] }[];
  /** Added to the sensitivity by the rounding of one chunk, relative to the clip norm. */
  readonly rounding: number;
  readonly norms: readonly NormPlan[];
}

/**
 * Inputs: the model's, its parameters and, for adaptive clipping, `l2ClipNorm` []. Outputs: `sum.<parameter>` and `norms` [units, 1],
 * which are sensitive. The sums are only valid if all norms are finite.
 * @throws LETHE-3024 a parameter or an operation has no per-example rule, with the node and the way out
 */
export function sumsGraph(
  plan: DpPlan,
  model: PrivateModel,
  units: number,
  sums: 'float32' | 'float64',
): SumsGraph {
  const g = new GraphBuilder();
  const { losses, parameters } = model.build(g, units);
  const { l2ClipNorm, kind } = plan.clipping;
  const clipped = clippedGradientSum(losses, parameters, {
    subjects: units,
    l2ClipNorm: kind === 'adaptive' ? g.shared('l2ClipNorm', []) : l2ClipNorm,
    clipping: graphClipping(plan),
    nonFinite: 'reported',
    sums,
  });
  for (const [i, sum] of clipped.sums.entries()) g.output(`sum.${parameters[i]!.name}`, sum);
  g.output('norms', clipped.norms);
  return {
    model: g.build(),
    parameters: parameters.map(({ name, shape }) => ({ name, shape })),
    rounding: clipped.rounding,
    norms: clipped.plan,
  };
}

/** A whole step as one graph, and the grid of its noise. */
export interface FusedGraph {
  readonly graph: TrainStepGraph;
  readonly grid: NoiseGrid;
}

/**
 * The whole step of a plan whose draws fit into one run: forward, backward, norms, clipping, sum, noise, update. Inputs: the model's,
 * `noise.<parameter>` on `grid`, `learningRate`.
 * @throws LETHE-3024 as `sumsGraph`; LETHE-3301 no noise grid for so many parameters
 */
export function fusedGraph(
  plan: DpPlan,
  model: PrivateModel,
  units: number,
  optimizer: Optimizer,
): FusedGraph {
  const built = (sums: 'float32' | 'float64'): FusedGraph => {
    const g = new GraphBuilder();
    const { losses, parameters } = model.build(g, units);
    const { l2ClipNorm } = plan.clipping;
    let grid: NoiseGrid | undefined;
    const graph = trainStepGraph(g, {
      losses,
      parameters,
      optimizer,
      objective: {
        kind: 'clipped',
        subjects: units,
        l2ClipNorm,
        divisor: plan.expectedUnits,
        noise: 'input',
        clipping: graphClipping(plan),
        nonFinite: 'reported',
        sums,
        spacing: (rounding) => {
          grid = noiseGrid(l2ClipNorm * (1 + rounding), plan.noise.multiplier, dimensionOf(parameters));
          return grid.spacing;
        },
      },
    });
    return { graph, grid: grid! };
  };
  const single = built('float32');
  return single.graph.rounding <= ROUNDING_MAX ? single : built('float64');
}

/** Values of all parameters together. */
export const dimensionOf = (parameters: readonly { readonly shape: readonly number[] }[]): number =>
  parameters.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);

/** Rounding that chunks may add to the sensitivity before they are summed in float64. */
const ROUNDING_MAX = 0.02;

/** The sums of a chunk in float32 if the rounding of `chunks` of them stays small, else in float64. */
export function chunkGraph(plan: DpPlan, model: PrivateModel, units: number, chunks: number): SumsGraph {
  const single = sumsGraph(plan, model, units, 'float32');
  return single.rounding * chunks <= ROUNDING_MAX ? single : sumsGraph(plan, model, units, 'float64');
}

/** @throws LETHE-3307 there are more units than the plan has been priced for, or than a plan without a cap takes */
export function requirePopulation({ sampling }: DpPlan, population: number): void {
  const most = sampling.kind === 'truncated-poisson' ? sampling.population : POISSON_POPULATION_MAX;
  if (Number.isInteger(population) && population >= 0 && population <= most) return;
  throw PRIVACY.PLAN_REFUSED(
    `sampling.population allows ${most} units, and there are more; plan again with a public upper bound`,
    { details: { field: 'sampling.population' } },
  );
}

/**
 * What a unit source gives may only be inputs that belong to examples: anything else would reach every unit's gradient.
 * @throws LETHE-3307 names the input
 */
export function requireExamples(feeds: Tensors, { examples }: Model): Tensors {
  for (const name of Object.keys(feeds)) {
    if (examples.includes(name)) continue;
    throw PRIVACY.PLAN_REFUSED(
      `units.feeds gives ${name}, which is no input of examples; give parameters and constants as initial`,
      { details: { field: 'units' } },
    );
  }
  return feeds;
}

/**
 * Padding must not count as units: of a run without a unit every norm has to vanish (the bounds keep a floor of about 1e-14).
 * @throws LETHE-3307 the losses are not multiplied by a mask, or depend on padding in another way
 */
export function requireMasked(norms: Float32Array, l2ClipNorm: number): void {
  const most = Math.max(1e-6 * l2ClipNorm, 1e-9);
  if (norms.every((norm) => norm <= most)) return;
  throw PRIVACY.PLAN_REFUSED(
    'a run without a unit has gradients; multiply the losses by a mask that is 0 for padding',
    { details: { field: 'model' } },
  );
}
