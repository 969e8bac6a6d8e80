import type { Value } from '../builder.ts';

/** Cotangents of a node's inputs, in their order; undefined where no gradient flows by definition (indices, conditions). */
export type Vjp = (node: Value, cotangent: Value) => readonly (Value | undefined)[];

/** One use of parameters by a layer, seen by the rules that need single examples. */
export interface ParametrisedUse {
  /** The layer's node; its inputs are the layer's input and its parameters. */
  readonly node: Value;
  /** Gradient of the sum of the losses by the layer's output; row i belongs to example i. */
  readonly outputGradient: Value;
  /** Number of groups of consecutive rows whose joint norm is clipped. */
  readonly subjects: number;
}

export interface GhostNorm {
  /** Squared norm of each subject's gradient over this layer's parameters, [subjects, 1]. */
  readonly squared: Value;
  /** The rounding of `squared` is at most 4 * `terms` * u * `magnitude`, u the unit roundoff (see dense.ts). */
  readonly magnitude: Value;
  readonly terms: number;
}

/** A decision that there is no rule, with its reason. */
export interface None {
  readonly none: string;
}

export const none = (reason: string): None => ({ none: reason });
export const isNone = (rule: object | undefined): rule is None => rule !== undefined && 'none' in rule;

/** How a node treats the example axis: undefined when each example is on its own, else the reason why it is not. */
export type Mixes = (
  node: Value,
  dependsOnExamples: readonly boolean[],
  subjects: number,
) => string | undefined;

/** One row of the table: everything that is differentiated about an operation. */
export interface Rule {
  readonly vjp: Vjp | None;
  /** Squared gradient norms of single subjects without their gradients. */
  readonly ghostNorm: ((use: ParametrisedUse) => GhostNorm) | None;
  /** Parameter gradients summed over examples, given the scaled and masked input and output gradient. */
  readonly clippedSum: ((node: Value, input: Value, outputGradient: Value) => readonly Value[]) | None;
  readonly mixes: Mixes;
}
