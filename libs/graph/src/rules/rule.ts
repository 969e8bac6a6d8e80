import type { Value } from '../builder.ts';

/** Cotangents of a node's inputs, in their order; undefined where no gradient flows by definition (indices, conditions). */
export type Vjp = (node: Value, cotangent: Value) => readonly (Value | undefined)[];

/** One use of one parameter by a layer, seen by the rules that need single subjects. */
export interface ParametrisedUse {
  /** The layer's node. */
  readonly node: Value;
  /** Which input of the node the parameter is. */
  readonly at: number;
  /** Gradient of the sum of the losses by the layer's output; its rows belong to the subjects in turn. */
  readonly outputGradient: Value;
  /** Number of groups of consecutive rows whose joint norm is clipped. */
  readonly subjects: number;
}

export interface GhostNorm {
  /** Squared norm of each subject's gradient by the parameter, [subjects, 1]. */
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

/** What a layer with parameters knows about the gradients of single subjects. */
export interface LayerRules {
  /** Which inputs of the node may be parameters. */
  readonly parameters: readonly number[];
  /** Squared gradient norms of the subjects without their gradients, or why this parameter has none. */
  readonly ghostNorm: (use: ParametrisedUse) => GhostNorm | None;
  /** The gradients of the subjects themselves, [subjects, ...shape of the parameter]. */
  readonly subjectGradients: (use: ParametrisedUse) => Value;
  /** The parameter's gradient summed over all rows, of an output gradient whose rows were scaled, and of the layer's masked input. */
  readonly clippedSum: (use: ParametrisedUse, input: Value) => Value;
}

/** One row of the table: everything that is differentiated about an operation. */
export interface Rule {
  readonly vjp: Vjp | None;
  readonly perExample: LayerRules | None;
  readonly mixes: Mixes;
}
