import { assert } from '@lethe/std';
import { ancestors, type Value } from './builder.ts';
import { cotangents, ones, ruleOf } from './differentiate.ts';
import { GRAPH } from './errors.ts';
import { add, div, expand, less, minimum, mul, reshape, sqrt, where } from './ops.ts';
import { isNone, type ParametrisedUse } from './rules/rule.ts';

/**
 * Exact clipping of each subject's gradient in one backward pass ("book-keeping": Bu et al., "Differentially private
 * optimization on large model at small cost", 2023). The pass yields every layer's input and output gradient; the ghost norm
 * gives each subject's norm from them; scaled by the clip factor they give the clipped sum in one matrix product. No gradient of
 * a single subject is ever formed. What we do differently: the unit is a subject with several rows, the norm is rounded up, and a
 * subject whose norm is not finite adds exactly nothing.
 */
export interface ClippedSum {
  /** Sum over subjects of each subject's clipped gradient, one for each parameter; its L2 sensitivity is `l2ClipNorm`. */
  readonly sums: readonly Value[];
  /** Upper bound of each subject's gradient norm, [subjects, 1]. Sensitive: never publish it. */
  readonly norms: Value;
  /** Factor that each subject's gradient was scaled with, in [0, 1], [subjects, 1]. Sensitive as well. */
  readonly factors: Value;
}

export interface ClippingOptions {
  /** Number of subjects; the rows of a subject are consecutive and as many for each. */
  readonly subjects: number;
  /** The bound C: a subject's gradient is scaled by min(1, C / norm). A shared input lets it change between steps. */
  readonly l2ClipNorm: number | Value;
}

/** Largest finite value and unit roundoff of the float dtypes. */
const LIMITS = {
  float32: { largest: 3.4028234663852886e38, roundoff: 2 ** -24 },
  float64: { largest: Number.MAX_VALUE, roundoff: 2 ** -53 },
} as const;

/**
 * @param losses one value a row, [n], n a multiple of `subjects`; missing rows are multiplied with 0
 * @param wrt parameters, each used by one layer
 * @throws LETHE-3020 rows are not a multiple of subjects; LETHE-3022; LETHE-3023; LETHE-3024 an operation mixes examples or a
 * parameter is used in a way that has no per-example rule
 */
export function clippedGradientSum(
  losses: Value,
  wrt: readonly Value[],
  { subjects, l2ClipNorm }: ClippingOptions,
): ClippedSum {
  const { graph, dtype } = losses;
  const rows = losses.shape[0];
  if (losses.shape.length !== 1 || rows === undefined || subjects < 1 || rows % subjects !== 0) {
    throw GRAPH.SHAPE_DISAGREES(`${rows} rows do not divide into ${subjects} subjects`, {
      details: { rows: rows ?? 0, subjects },
    });
  }
  assert(dtype === 'float32' || dtype === 'float64', `losses are ${dtype}`);
  const { largest, roundoff } = LIMITS[dtype];
  refuseMixing(losses, subjects);

  const found = cotangents(losses, wrt, ones(graph, losses.shape, dtype));
  const layers = parametrisedLayers(losses, wrt);
  const uses: ParametrisedUse[] = layers.map((node) => ({
    node,
    outputGradient: found.get(node)!,
    subjects,
  }));

  const bounds = uses.map((use) => {
    const { ghostNorm } = ruleOf(use.node);
    assert(!isNone(ghostNorm), `${use.node.op} has no ghost norm`);
    const { squared, magnitude, terms } = ghostNorm(use);
    return add(squared, mul(magnitude, 4 * terms * roundoff));
  });
  const squared = bounds.reduce((sum, bound) => add(sum, bound));
  const norms = sqrt(squared);
  // NaN compares false, so one comparison finds NaN and infinity. 0 gives C / 0 = infinity and the factor 1.
  const finite = less(squared, largest);
  const bound = typeof l2ClipNorm === 'number' ? graph.number(l2ClipNorm, dtype) : l2ClipNorm;
  const factors = where(finite, minimum(div(bound, norms), 1), 0);

  const perRow = (value: Value): Value => {
    if (rows === subjects) return value;
    const wide = expand(reshape(value, [subjects, 1, 1]), [subjects, rows / subjects, 1]);
    return reshape(wide, [rows, 1]);
  };
  const keep = less(perRow(squared), largest);
  const scale = perRow(factors);

  const sums = new Map<Value, Value>();
  for (const { node, outputGradient } of uses) {
    const { clippedSum } = ruleOf(node);
    assert(!isNone(clippedSum), `${node.op} has no clipped sum`);
    // A factor of 0 is not enough: 0 * NaN = NaN. Both factors of the product are masked.
    const input = where(keep, node.inputs[0]!, 0);
    const scaled = where(keep, mul(outputGradient, scale), 0);
    for (const [i, sum] of clippedSum(node, input, scaled).entries()) sums.set(node.inputs[i + 1]!, sum);
  }
  return { sums: wrt.map((parameter) => sums.get(parameter)!), norms, factors };
}

function refuseMixing(losses: Value, subjects: number): void {
  const dependent = new Set<Value>();
  for (const value of ancestors([losses])) {
    const dependsOnExamples = value.inputs.map((input) => dependent.has(input));
    if (value.op !== 'examples' && !dependsOnExamples.includes(true)) continue;
    dependent.add(value);
    const reason = ruleOf(value).mixes(value, dependsOnExamples, subjects);
    if (reason) {
      throw GRAPH.NO_PER_EXAMPLE_RULE(`${value.op} has no per-example norm: it ${reason}`, {
        details: { op: value.op },
      });
    }
  }
}

/** The layers that use the parameters, each parameter once and as a parameter of a layer that has a ghost norm. */
function parametrisedLayers(losses: Value, wrt: readonly Value[]): Value[] {
  const users = ancestors([losses]).filter((value) => value.inputs.some((input) => wrt.includes(input)));
  for (const parameter of wrt) {
    const uses = users.filter((value) => value.inputs.includes(parameter));
    if (uses.length === 0) {
      throw GRAPH.UNREACHABLE(`the losses do not depend on ${parameter.name}`, {
        details: { name: parameter.name },
      });
    }
    const [use] = uses;
    const { ghostNorm } = ruleOf(use!);
    const reason = isNone(ghostNorm)
      ? `${use!.op} uses it, and ${ghostNorm.none}`
      : uses.length > 1
        ? `${uses.length} layers share it, whose cross terms are not summed yet`
        : use!.inputs[0] === parameter
          ? 'it is the input of a layer, not its weights'
          : undefined;
    if (reason) {
      throw GRAPH.NO_PER_EXAMPLE_RULE(`${parameter.name} has no per-example norm: ${reason}`, {
        details: { name: parameter.name },
      });
    }
  }
  return users;
}
