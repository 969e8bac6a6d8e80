import {
  add,
  type Clipping,
  type ClippingOptions,
  cast,
  clippedGradientSum,
  GraphBuilder,
  gradients,
  type Model,
  mul,
  type NormPlan,
  reduceSum,
  round,
  type Value,
} from '@lethe/graph';
import type { Shape } from '@lethe/tensor';
import type { Optimizer } from './optimizers.ts';

/** What one step descends on. */
export type Objective = MeanObjective | ClippedObjective;

/** The mean loss: gradients of `sum(losses) / divisor`. */
export interface MeanObjective {
  readonly kind: 'mean';
  /** A constant, so that a masked row weighs nothing: the batch size. */
  readonly divisor: number;
}

/** DP-SGD: `(sum over subjects of clip(gradient) + noise) / divisor` (Abadi et al. 2016, algorithm 1), per subject. */
export interface ClippedObjective {
  readonly kind: 'clipped';
  /** Subjects in a step, masked ones included; the rows of a subject are consecutive. */
  readonly subjects: number;
  readonly l2ClipNorm: number;
  /** The *expected* number of subjects in a step, which is public; never the drawn one. */
  readonly divisor: number;
  /**
   * 'input': each parameter's noise is an input of the step, drawn by the caller at noiseMultiplier * l2ClipNorm * (1 + rounding).
   * 'none': no noise, hence no privacy.
   */
  readonly noise: 'input' | 'none';
  /**
   * The power of two to whose multiples the sum is rounded before the noise is added, which lies on the same grid; given what rounding adds
   * to the sensitivity (`ClippedSum.rounding`). Default: not rounded.
   */
  readonly spacing?: (rounding: number) => number;
  readonly clipping?: Clipping;
  /** Element type of the sums; in float64 their rounding is next to nothing and their products take twice the time. */
  readonly sums?: NonNullable<ClippingOptions['sums']>;
  /** See `ClippingOptions` of @lethe/graph; with `reported` the runner has to look at `norms` before it takes the step. */
  readonly nonFinite?: NonNullable<ClippingOptions['nonFinite']>;
}

export interface StepSpec {
  /** One value a row, [n], already multiplied by the mask. */
  readonly losses: Value;
  readonly parameters: readonly Value[];
  readonly optimizer: Optimizer;
  readonly objective: Objective;
}

export interface NamedShape {
  readonly name: string;
  readonly shape: Shape;
}

/** A step as one graph. Every state `s` goes in as `s` and comes out as `next.s`. */
export interface TrainStepGraph {
  readonly model: Model;
  readonly parameters: readonly NamedShape[];
  /** Optimizer state, `parameter.slot`. */
  readonly slots: readonly NamedShape[];
  /** Noise inputs, `noise.parameter`; empty without noise. */
  readonly noise: readonly NamedShape[];
  readonly countsSteps: boolean;
  /** What rounding adds to the sensitivity of a clipped sum, relative to the clip norm; 0 for other objectives. */
  readonly rounding: number;
  /** How each parameter's norm is had; empty for other objectives. */
  readonly norms: readonly NormPlan[];
}

const named = ({ name, shape }: Value): NamedShape => ({ name, shape });

/**
 * Emits the whole step: gradients, clipping, noise and update. Adds the inputs `learningRate` [], `step` [] (when the optimizer
 * counts), the optimizer's slots and the noise; the outputs `next.*`, `loss` [] (sum of losses / divisor) and, when clipped,
 * `norms` and `factors` [subjects, 1]. Further outputs may be declared on the graph before the call.
 * @throws LETHE-3020 to 3024 as the differentiation does
 */
export function trainStepGraph(g: GraphBuilder, spec: StepSpec): TrainStepGraph {
  const { losses, parameters, objective } = spec;
  const noise: Value[] = [];
  let rounding = 0;
  let norms: readonly NormPlan[] = [];
  const directions = objective.kind === 'mean' ? meanGradients() : clippedGradients(objective);
  const updated = update(g, parameters, directions, spec.optimizer);
  g.output('loss', mul(reduceSum(losses), 1 / objective.divisor));
  return { model: g.build(), ...updated, noise: noise.map(named), rounding, norms };

  function meanGradients(): Value[] {
    return gradients(mul(losses, 1 / objective.divisor), parameters);
  }

  function clippedGradients(objective: ClippedObjective): Value[] {
    const { divisor, noise: source, spacing, ...options } = objective;
    const clipped = clippedGradientSum(losses, parameters, options);
    ({ rounding, plan: norms } = clipped);
    g.output('norms', clipped.norms);
    g.output('factors', clipped.factors);
    const grid = spacing?.(rounding);
    return clipped.sums.map((sum, i) => {
      const float32 = (value: Value): Value => (value.dtype === 'float32' ? value : cast(value, 'float32'));
      if (source === 'none') return float32(mul(sum, 1 / divisor));
      const drawn = g.shared(`noise.${parameters[i]!.name}`, sum.shape);
      noise.push(drawn);
      // Multiplying by a power of two is exact, so the rounded sum and the noise lie on one grid; what follows is post-processing.
      const rounded = grid === undefined ? sum : mul(round(mul(sum, 1 / grid)), grid);
      const noisy = add(rounded, sum.dtype === 'float32' ? drawn : cast(drawn, sum.dtype));
      return float32(mul(noisy, 1 / divisor));
    });
  }
}

/**
 * The update alone, for gradients that come from elsewhere as inputs `gradient.parameter`: sums over several batches, or those of
 * another party. Inputs and outputs otherwise as of `trainStepGraph`; there is no `loss`.
 */
export function updateGraph(shapes: readonly NamedShape[], optimizer: Optimizer): TrainStepGraph {
  const g = new GraphBuilder();
  const parameters = shapes.map(({ name, shape }) => g.parameter(name, shape));
  const given = shapes.map(({ name, shape }) => g.shared(`gradient.${name}`, shape));
  const updated = update(g, parameters, given, optimizer);
  return { model: g.build(), ...updated, noise: [], rounding: 0, norms: [] };
}

function update(
  g: GraphBuilder,
  parameters: readonly Value[],
  directions: readonly Value[],
  optimizer: Optimizer,
): Pick<TrainStepGraph, 'parameters' | 'slots' | 'countsSteps'> {
  const learningRate = g.shared('learningRate', []);
  const step = optimizer.countsSteps ? { step: g.shared('step', []) } : {};
  const slots: Value[] = [];
  for (const [i, parameter] of parameters.entries()) {
    const kept = optimizer.slots.map((slot) => g.shared(`${parameter.name}.${slot}`, parameter.shape));
    slots.push(...kept);
    const gradient = directions[i]!;
    const updated = optimizer.update({ parameter, gradient, slots: kept, learningRate, ...step });
    g.output(`next.${parameter.name}`, updated.parameter);
    for (const [k, slot] of kept.entries()) g.output(`next.${slot.name}`, updated.slots[k]!);
  }
  return {
    parameters: parameters.map(named),
    slots: slots.map(named),
    countsSteps: optimizer.countsSteps,
  };
}
