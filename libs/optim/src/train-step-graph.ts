import {
  add,
  clippedGradientSum,
  type GraphBuilder,
  gradients,
  type Model,
  mul,
  reduceSum,
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
   * 'input': each parameter's noise is an input of the step, drawn by the caller at noiseMultiplier * l2ClipNorm.
   * 'none': no noise, hence no privacy.
   */
  readonly noise: 'input' | 'none';
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
}

const named = ({ name, shape }: Value): NamedShape => ({ name, shape });

/**
 * Emits the whole step: gradients, clipping, noise and update. Adds the inputs `learningRate` [], `step` [] (when the optimizer
 * counts), the optimizer's slots and the noise; the outputs `next.*`, `loss` [] (sum of losses / divisor) and, when clipped,
 * `norms` and `factors` [subjects, 1]. Further outputs may be declared on the graph before the call.
 * @throws LETHE-3020 to 3024 as the differentiation does
 */
export function trainStepGraph(g: GraphBuilder, spec: StepSpec): TrainStepGraph {
  const { losses, parameters, optimizer, objective } = spec;
  const noise: Value[] = [];
  const directions = objective.kind === 'mean' ? meanGradients() : clippedGradients(objective);

  const learningRate = g.shared('learningRate', []);
  const step = optimizer.countsSteps ? { step: g.shared('step', []) } : {};
  const slots: Value[] = [];
  for (const [i, parameter] of parameters.entries()) {
    const kept = optimizer.slots.map((slot) => g.shared(`${parameter.name}.${slot}`, parameter.shape));
    slots.push(...kept);
    const updated = optimizer.update({
      parameter,
      gradient: directions[i]!,
      slots: kept,
      learningRate,
      ...step,
    });
    g.output(`next.${parameter.name}`, updated.parameter);
    for (const [k, slot] of kept.entries()) g.output(`next.${slot.name}`, updated.slots[k]!);
  }
  g.output('loss', mul(reduceSum(losses), 1 / objective.divisor));
  return {
    model: g.build(),
    parameters: parameters.map(named),
    slots: slots.map(named),
    noise: noise.map(named),
    countsSteps: optimizer.countsSteps,
  };

  function meanGradients(): Value[] {
    return gradients(mul(losses, 1 / objective.divisor), parameters);
  }

  function clippedGradients({ subjects, l2ClipNorm, divisor, noise: source }: ClippedObjective): Value[] {
    const { sums, norms, factors } = clippedGradientSum(losses, parameters, { subjects, l2ClipNorm });
    g.output('norms', norms);
    g.output('factors', factors);
    return sums.map((sum, i) => {
      if (source === 'none') return mul(sum, 1 / divisor);
      const drawn = g.shared(`noise.${parameters[i]!.name}`, sum.shape);
      noise.push(drawn);
      return mul(add(sum, drawn), 1 / divisor);
    });
  }
}
