import { assert } from '@lethe/std';
import { elements, type Shape, shapeText } from '@lethe/tensor';
import { ancestors, type Value } from './builder.ts';
import { cotangents, ones, ruleOf } from './differentiate.ts';
import { GRAPH } from './errors.ts';
import {
  add,
  addProduct,
  cast,
  div,
  expand,
  less,
  matmul,
  maximum,
  minimum,
  mul,
  reshape,
  sqrt,
  transposed,
  where,
} from './ops.ts';
import { slice } from './ops-structure.ts';
import { crossOf } from './rules/cross.ts';
import { smallestNormal } from './rules/rows.ts';
import { type GhostNorm, isNone, type LayerRules, type ParametrisedUse } from './rules/rule.ts';
import { bodyMixes } from './rules/table.ts';

/**
 * Exact clipping of each subject's gradient in one backward pass ("book-keeping": Bu et al., "Differentially private
 * optimization on large model at small cost", 2023). The pass yields every layer's input and output gradient; from them comes
 * each subject's norm, either without its gradient (ghost) or with it (instantiated), whichever is cheaper for the layer; scaled by
 * the clip factor the same two tensors give the clipped sum in one matrix product.
 *
 * What we do differently: the unit is a subject with several rows, a parameter that several layers share has its cross terms, norms are
 * rounded up by a proven bound, and a subject whose norm is not finite adds nothing.
 */
export interface ClippedSum {
  /** Sum over subjects of each subject's clipped gradient, one for each parameter; its L2 sensitivity is `l2ClipNorm`. */
  readonly sums: readonly Value[];
  /** Upper bound of each subject's gradient norm, [subjects, 1]. Sensitive: never publish it. */
  readonly norms: Value;
  /** Factor that each subject's gradient was scaled with, [subjects, 1] (per layer: the smallest). Sensitive as well. */
  readonly factors: Value;
  /**
   * Bound on what rounding adds to the sensitivity of the sums, relative to C: two neighbouring batches differ by at most
   * C (1 + rounding). Charge it: noise is scaled by C (1 + rounding).
   */
  readonly rounding: number;
  /** How each parameter's norm was had, in the order of `wrt`. */
  readonly plan: readonly NormPlan[];
}

/**
 * How a subject's contribution is bounded by C. `flat`: factor min(1, C / norm), Abadi et al. 2016. `automatic`: C / (norm + stability),
 * Bu et al. 2023 (AUTO-S): every contribution has about the norm C, and C joins the learning rate. `per-layer`: each layer by itself, with bounds
 * of its own or C / sqrt(layers) each; together, as a Euclidean norm, they must not pass C. McMahan et al. 2018.
 */
export type Clipping =
  | { readonly kind: 'flat' }
  | { readonly kind: 'automatic'; readonly stability: number }
  | { readonly kind: 'per-layer'; readonly bounds?: readonly number[] };

export interface ClippingOptions {
  /** Number of subjects; the rows of a subject are consecutive and as many for each. */
  readonly subjects: number;
  /** The bound C on a subject's contribution. A shared input lets it change between steps. */
  readonly l2ClipNorm: number | Value;
  /** Default: `flat`. */
  readonly clipping?: Clipping;
  /**
   * `excluded` (default): a subject whose norm is not finite is masked out inside of the graph. `reported`: the sums are only valid if every
   * one of `norms` is finite; the caller checks and runs again without the others. Saves two passes over all activations.
   */
  readonly nonFinite?: 'excluded' | 'reported';
  /** Element type of the sums where the losses are float32: float64 for sums over many batches. Default: that of the losses. */
  readonly sums?: 'float32' | 'float64';
  /** How norms are had; for tests and measurements. Default: `cheapest`. */
  readonly norms?: 'cheapest' | 'ghost' | 'instantiated';
}

/** Why a parameter's norm is had the way it is. */
export interface NormPlan {
  readonly parameter: string;
  readonly shape: Shape;
  /** Operations of the layers that use it. */
  readonly layers: readonly string[];
  /** Rows of one subject in those layers together. */
  readonly rows: number;
  readonly rule: 'ghost' | 'instantiated';
  readonly reason: string;
  /** Element type in which the clipped gradients are summed. */
  readonly sum: 'float32' | 'float64';
  /** Bytes that the norm needs for the whole batch: Gram matrices, or the subjects' gradients. */
  readonly bytes: number;
}

/** Largest finite value and unit roundoff of the float dtypes. */
const LIMITS = {
  float32: { largest: 3.4028234663852886e38, roundoff: 2 ** -24 },
  float64: { largest: Number.MAX_VALUE, roundoff: 2 ** -53 },
} as const;

/** A parameter and all its uses, with what was decided for it. */
interface Decided {
  readonly parameter: Value;
  readonly uses: readonly ParametrisedUse[];
  readonly plan: NormPlan;
}

/**
 * @param losses one value a row, [n], n a multiple of `subjects`; missing rows are multiplied with 0
 * @param wrt parameters of layers; those of the model that are not listed are frozen
 * @throws LETHE-3020 rows are not a multiple of subjects; LETHE-3022; LETHE-3023; LETHE-3024 an operation mixes examples or a
 * parameter is used in a way that has no per-example rule
 */
export function clippedGradientSum(
  losses: Value,
  wrt: readonly Value[],
  options: ClippingOptions,
): ClippedSum {
  const { l2ClipNorm, clipping = { kind: 'flat' }, nonFinite = 'excluded' } = options;
  const { graph, dtype } = losses;
  assert(dtype === 'float32' || dtype === 'float64', `losses are ${dtype}`);
  const { largest, roundoff } = LIMITS[dtype];
  const decided = decide(losses, wrt, options);

  const squares = decided.map((each) => squaredNorm(each, roundoff));
  const total = (isIn: (i: number) => boolean): Value => {
    const lost = decided.reduce((sum, each, i) => sum + (isIn(i) ? underflow(each) : 0), 0);
    return add(
      squares.filter((_, i) => isIn(i)).reduce((sum, part) => add(sum, part)),
      lost,
    );
  };
  const squared = total(() => true);
  // NaN compares false, so one comparison finds NaN and infinity. It is never 0: what underflows is in it.
  const finite = less(squared, largest);
  const whole = typeof l2ClipNorm === 'number' ? graph.number(l2ClipNorm, dtype) : l2ClipNorm;
  const layers = clipping.kind === 'per-layer' ? layersOf(decided) : decided.map(() => 0);
  const shares = clipping.kind === 'per-layer' ? layerShares(layers, l2ClipNorm, clipping.bounds) : [1];
  const factors = layers.map((layer) => {
    const own = sqrt(total((i) => layers[i] === layer));
    const bound = mul(whole, shares[layer]! * (1 - clipMargin(decided.length, roundoff)));
    const factor =
      clipping.kind === 'automatic' ? div(bound, add(own, clipping.stability)) : minimum(div(bound, own), 1);
    return where(finite, factor, 0);
  });
  const keep = nonFinite === 'excluded' ? finite : undefined;
  return {
    sums: decided.map((each, i) => {
      const sum = clippedSum(each, factors[i]!, keep);
      return sum.dtype === (options.sums ?? dtype) ? sum : cast(sum, options.sums ?? dtype);
    }),
    norms: sqrt(squared),
    factors: [...new Set(factors)].reduce((least, factor) => minimum(least, factor)),
    rounding: Math.max(...decided.map((each) => sumRounding(each, roundoff, options.sums ?? dtype))),
    plan: decided.map(({ plan }) => plan),
  };
}

/**
 * What `clippedGradientSum` would do for each parameter, and why.
 * @throws as `clippedGradientSum`, where it would refuse
 */
export function explainPerExample(
  losses: Value,
  wrt: readonly Value[],
  options: Pick<ClippingOptions, 'subjects' | 'norms'>,
): readonly NormPlan[] {
  return decide(losses, wrt, options).map(({ plan }) => plan);
}

function decide(
  losses: Value,
  wrt: readonly Value[],
  options: Pick<ClippingOptions, 'subjects' | 'norms' | 'sums'>,
): Decided[] {
  const { subjects } = options;
  const rows = losses.shape[0];
  if (losses.shape.length !== 1 || rows === undefined || subjects < 1 || rows % subjects !== 0) {
    throw GRAPH.SHAPE_DISAGREES(`${rows} rows do not divide into ${subjects} subjects`, {
      details: { rows: rows ?? 0, subjects },
    });
  }
  const dependent = refuseMixing(losses, subjects);
  const order = ancestors([losses]);
  const users = wrt.map((parameter) => {
    const nodes = order.filter((value) => value.inputs.includes(parameter));
    for (const node of nodes) requireLayer(parameter, node, dependent);
    if (nodes.length === 0) {
      throw GRAPH.UNREACHABLE(`the losses do not depend on ${parameter.name}`, {
        details: { name: parameter.name },
      });
    }
    return nodes;
  });
  const found = cotangents(losses, wrt, ones(losses.graph, losses.shape, losses.dtype));
  return wrt.map((parameter, i) => {
    const uses = users[i]!.flatMap((node) =>
      node.inputs.flatMap((input, at): ParametrisedUse[] =>
        // A use whose output does not reach the losses (behind stopGradient) has no gradient.
        input === parameter && found.has(node)
          ? [{ node, at, outputGradient: found.get(node)!, subjects }]
          : [],
      ),
    );
    if (uses.length === 0) {
      throw GRAPH.UNREACHABLE(`the losses do not depend on ${parameter.name} in a differentiable way`, {
        details: { name: parameter.name },
      });
    }
    return { parameter, uses, plan: planOf(parameter, uses, options) };
  });
}

function layerRules(node: Value): LayerRules {
  const { perExample } = ruleOf(node);
  assert(!isNone(perExample), `${node.op} is no layer`);
  return perExample;
}

/** Chooses between ghost and instantiated norms for a parameter. */
function planOf(
  parameter: Value,
  uses: readonly ParametrisedUse[],
  { norms = 'cheapest', sums }: Pick<ClippingOptions, 'norms' | 'sums'>,
): NormPlan {
  const { subjects } = uses[0]!;
  const rows = uses.reduce((sum, { node }) => sum + node.shape[0]! / subjects, 0);
  const refusals = uses.map((use) => layerRules(use.node).ghostNorm(use)).filter(isNone);
  const crossless = uses.some((a, i) => uses.slice(i + 1).some((b) => !crossOf(a, b)));
  const size = (parameter.dtype === 'float64' ? 8 : 4) * subjects;
  const gramBytes = size * (rows === 1 ? 2 : 2 * rows * rows);
  const gradientBytes = size * elements(parameter.shape);
  const mustDouble = (rule: NormPlan['rule']): boolean =>
    rule === 'ghost' && rows > 1 && !sumsWell(rows, subjects);
  const plan = (rule: NormPlan['rule'], reason: string): NormPlan => ({
    parameter: parameter.name,
    shape: parameter.shape,
    layers: uses.map(({ node }) => node.op),
    rows,
    rule,
    reason,
    sum: sums === 'float64' || parameter.dtype === 'float64' || mustDouble(rule) ? 'float64' : 'float32',
    bytes: rule === 'ghost' ? gramBytes : gradientBytes,
  });
  if (refusals.length > 0) return plan('instantiated', refusals[0]!.none);
  if (crossless)
    return plan(
      'instantiated',
      'layers of different kinds share it: their gradients are added up for each subject',
    );
  if (norms !== 'cheapest') return plan(norms, 'asked for');
  if (rows === 1) return plan('ghost', 'one row a subject: the norm is a product of two lengths');
  // Multiplications a subject, from the widths of what goes in and out of the layers.
  const width = uses.reduce((sum, { node }) => sum + node.shape.at(-1)! + node.inputs[0]!.shape.at(-1)!, 0);
  const double = mustDouble('ghost') ? rows * elements(parameter.shape) : 0;
  const ghost = rows * rows * width + double;
  const traffic = TRAFFIC * elements(parameter.shape);
  const fits = gradientBytes <= Math.max(INSTANTIATED_BYTES_MAX, gramBytes);
  const why = `${rows} rows a subject: its Gram matrices cost ${ghost}, its gradient ${traffic} multiplications' time`;
  if (ghost <= traffic) return plan('ghost', why);
  return fits
    ? plan('instantiated', why)
    : plan('ghost', `${why}, but all gradients take ${gradientBytes} bytes`);
}

/**
 * Multiplications in the time in which an element of a subject's gradient is written, squared and added up. Measured for T = 64 and
 * p d = 2^14 to 2^16, one thread, relative to the plain weight gradient: instantiated 1.2 to 1.4, ghost 1.6 to 2.1 before its sum in float64.
 */
const TRAFFIC = 24;

/** Up to here a parameter's gradients are formed for every subject of a batch; a smaller batch makes more room than it loses time. */
const INSTANTIATED_BYTES_MAX = 64 * 2 ** 20;

/** The relative error of a sum of n rounded products, gamma_n of Higham, "Accuracy and stability of numerical algorithms" (2002), 3.1. */
const gamma = (n: number, roundoff: number): number => (n * roundoff) / (1 - n * roundoff);

/**
 * By how much less than C contributions are clipped, so that they stay below C: the clip factor, the scaled output gradient and the root are a
 * few roundings each, the sum of the squared norms one for each parameter.
 */
const clipMargin = (parameters: number, roundoff: number): number => (16 + 2 * parameters) * roundoff;

/**
 * How much longer a subject's rows may be together than their sum where they are summed in float32. Independent rows are sqrt(T) times as
 * long; a subject whose rows cancel more than twice as much is clipped further.
 */
const reachMax = (rows: number): number => 2 * Math.sqrt(rows);

/** What a float32 sum may add to the sensitivity by proof before it is arranged otherwise. */
const ROUNDING_MAX = 0.02;

/** Whether a float32 sum of ghost-clipped rows is good enough. */
const sumsWell = (rows: number, subjects: number): boolean =>
  2 * gamma(rows * subjects + 2, LIMITS.float32.roundoff) * subjects * reachMax(rows) <= ROUNDING_MAX;

/** Rows of a product whose sum is taken in one go, and of those that are added up before they join the rest. */
const [BLOCK, GROUP] = [64, 512];

/** Whether a float32 sum of one term a subject is taken in blocks: its rounding grows with the longest chain of additions. */
const isBlocked = (subjects: number, { sum }: NormPlan): boolean =>
  sum === 'float32' && 2 * gamma(subjects + 2, LIMITS.float32.roundoff) * subjects > ROUNDING_MAX;

/** Additions that a term goes through at most. */
const depth = (subjects: number, plan: NormPlan): number =>
  isBlocked(subjects, plan) ? BLOCK + GROUP / BLOCK + Math.ceil(subjects / GROUP) : subjects;

/** A sum over subjects from the sums over some of them. @param part the sum from one subject to another */
function summed(subjects: number, plan: NormPlan, part: (from: number, to: number) => Value): Value {
  if (!isBlocked(subjects, plan)) return part(0, subjects);
  const chain = (from: number, to: number, step: number, one: (from: number, to: number) => Value): Value => {
    let sum = one(from, Math.min(from + step, to));
    for (let at = from + step; at < to; at += step) sum = joined(sum, one(at, Math.min(at + step, to)));
    return sum;
  };
  return chain(0, subjects, GROUP, (from, to) => chain(from, to, BLOCK, part));
}

/** `sum + part`, in one Gemm where the part is a product. */
function joined(sum: Value, part: Value): Value {
  const [a, b] = part.inputs;
  return part.op === 'matmul' && part.shape.length === 2
    ? addProduct(sum, a!, b!, transposed(part))
    : add(sum, part);
}

/**
 * Each entry of a sum of products is wrong by at most gamma_n times the sum of their magnitudes, n being the additions a term goes through, so the
 * sum over all subjects is wrong by gamma_n times the sum of the lengths that go in: C for a subject whose gradient is formed or is one
 * row, else at most `reach` C. Two neighbouring sums are wrong by twice that.
 */
function sumRounding({ uses, plan }: Decided, roundoff: number, result: 'float32' | 'float64'): number {
  const { subjects } = uses[0]!;
  const unit = plan.sum === 'float64' ? LIMITS.float64.roundoff : roundoff;
  // A float64 sum that is given out in float32 is rounded once more.
  const given = plan.sum === 'float64' && result === 'float32' ? 2 * roundoff * subjects : 0;
  if (plan.rule === 'instantiated' || plan.rows === 1) {
    return 2 * gamma(depth(subjects, plan) + 2, unit) * subjects + given;
  }
  // In float64 the reach is bounded by what the norm's own rounding bound adds: 4 terms u reach^2, with at least 3 terms.
  const reach = plan.sum === 'float64' ? 1 / Math.sqrt(12 * roundoff) : reachMax(plan.rows);
  return 2 * gamma(plan.rows * subjects + 2, unit) * reach * subjects + given;
}

/** What the last products of a squared norm lose to underflow at most: one for each element of a gradient, or for each pair of rows. */
const underflow = ({ parameter, plan }: Decided): number =>
  smallestNormal(parameter.dtype) *
  (plan.rule === 'instantiated' ? 2 * elements(parameter.shape) : 4 * plan.rows ** 2);

/** An upper bound of each subject's squared norm over one parameter, [subjects, 1], but for `underflow`. */
function squaredNorm({ parameter, uses, plan }: Decided, roundoff: number): Value {
  if (plan.rule === 'instantiated') {
    const { subjects } = uses[0]!;
    const size = elements(parameter.shape);
    // A batched product of rows with themselves: half the time of Mul and ReduceSum, and all terms are positive.
    const flat = reshape(instantiated(uses), [subjects, 1, size]);
    const squared = reshape(matmul(flat, flat, { transB: true }), [subjects, 1]);
    return mul(squared, 1 + 2 * (size + 2) * roundoff);
  }
  const ghosts = uses.map((use) => layerRules(use.node).ghostNorm(use) as GhostNorm);
  let { squared } = ghosts[0]!;
  for (const { squared: next } of ghosts.slice(1)) squared = add(squared, next);
  for (const [i, a] of uses.entries()) {
    for (const b of uses.slice(i + 1)) squared = add(squared, mul(crossOf(a, b)!(), 2));
  }
  const reach =
    ghosts.length === 1
      ? ghosts[0]!.magnitude
      : ((sum) => mul(sum, sum))(ghosts.map(({ magnitude }) => sqrt(magnitude)).reduce((a, b) => add(a, b)));
  const terms = Math.max(...ghosts.map((ghost) => ghost.terms)) * ghosts.length;
  const share = 4 * terms * roundoff;
  const upper = reach === squared ? mul(squared, 1 + share) : add(squared, mul(reach, share));
  if (plan.rows === 1 || plan.sum === 'float64') return upper;
  return maximum(upper, mul(reach, 1 / reachMax(plan.rows) ** 2));
}

/** Gradients of the subjects by a parameter, all its uses added up: [subjects, ...shape]. */
const instantiated = (uses: readonly ParametrisedUse[]): Value =>
  uses.map((use) => layerRules(use.node).subjectGradients(use)).reduce((sum, part) => add(sum, part));

function clippedSum({ parameter, uses, plan }: Decided, factors: Value, keep: Value | undefined): Value {
  const { subjects } = uses[0]!;
  if (plan.rule === 'instantiated') {
    const flat = reshape(instantiated(uses), [subjects, elements(parameter.shape)]);
    // A factor of 0 is not enough: 0 * NaN = NaN.
    const kept = keep ? where(keep, flat, 0) : flat;
    const [weights, terms] =
      plan.sum === kept.dtype ? [factors, kept] : [cast(factors, plan.sum), cast(kept, plan.sum)];
    const sum = summed(subjects, plan, (from, to) =>
      matmul(slice(weights, 0, from, to), slice(terms, 0, from, to), { transA: true }),
    );
    return reshape(sum, parameter.shape);
  }
  return uses
    .map((use) => {
      const { node, outputGradient } = use;
      const perRow = (value: Value, like: Value): Value => spread(value, like.shape[0]!, like.shape.length);
      const scaled = mul(outputGradient, perRow(factors, outputGradient));
      const input = node.inputs.find((value) => value !== parameter)!;
      const isFloat = input.dtype === scaled.dtype;
      const masked = keep ? where(perRow(keep, scaled), scaled, 0) : scaled;
      const inside = keep && isFloat ? where(perRow(keep, input), input, 0) : input;
      if (plan.rows === 1 && plan.sum === 'float32') {
        return summed(subjects, plan, (from, to) => {
          const outputGradient = slice(masked, 0, from, to);
          return layerRules(node).clippedSum({ ...use, outputGradient }, slice(inside, 0, from, to));
        });
      }
      if (plan.sum === 'float32')
        return layerRules(node).clippedSum({ ...use, outputGradient: masked }, inside);
      // The rounding of the sum is relative to the lengths of a subject's rows, which is too much for so many in float32.
      const double = (value: Value): Value => cast(value, 'float64');
      const sum = layerRules(node).clippedSum(
        { ...use, outputGradient: double(masked) },
        isFloat ? double(inside) : inside,
      );
      return sum;
    })
    .reduce((sum, part) => add(sum, part));
}

/** A value [subjects, 1] for every row: [rows, 1, ...] of the given rank. */
function spread(value: Value, rows: number, rank: number): Value {
  const subjects = value.shape[0]!;
  const wide =
    rows === subjects
      ? value
      : reshape(expand(reshape(value, [subjects, 1, 1]), [subjects, rows / subjects, 1]), [rows, 1]);
  return reshape(wide, [rows, ...new Array<number>(rank - 1).fill(1)]);
}

/** Parameters of one layer are clipped together: the number of its layer for each decided parameter. */
function layersOf(decided: readonly Decided[]): number[] {
  const layers: Value[] = [];
  return decided.map(({ uses }) => {
    const { node } = uses[0]!;
    if (!layers.includes(node)) layers.push(node);
    return layers.indexOf(node);
  });
}

/** The share of C that each layer has. @throws LETHE-3020 another number of bounds than layers, or bounds that together pass C */
function layerShares(
  layers: readonly number[],
  l2ClipNorm: number | Value,
  bounds: readonly number[] | undefined,
): number[] {
  const count = Math.max(...layers) + 1;
  if (!bounds) return new Array<number>(count).fill(1 / Math.sqrt(count));
  const fits =
    bounds.length === count &&
    typeof l2ClipNorm === 'number' &&
    Math.hypot(...bounds) <= l2ClipNorm * (1 + 1e-12);
  if (fits) return bounds.map((bound) => bound / l2ClipNorm);
  throw GRAPH.SHAPE_DISAGREES(
    `${bounds.length} bounds do not fit ${count} layers, or pass the clip norm together`,
    { details: { bounds: bounds.length, layers: count } },
  );
}

/** @returns the values that depend on examples; the first axis of each counts subjects or their rows */
function refuseMixing(losses: Value, subjects: number): ReadonlySet<Value> {
  const dependent = new Set<Value>();
  const refuse = (value: Value, reason: string): never => {
    const layer = value.scope === '' ? '' : `${value.scope}: `;
    throw GRAPH.NO_PER_EXAMPLE_RULE(`${layer}${value.op} has no per-example norm: it ${reason}`, {
      details: { op: value.op },
    });
  };
  for (const value of ancestors([losses])) {
    const dependsOnExamples = value.inputs.map((input) => dependent.has(input));
    if (value.op !== 'examples' && !dependsOnExamples.includes(true)) continue;
    dependent.add(value);
    const reason =
      ruleOf(value).mixes(value, dependsOnExamples, subjects) ??
      bodyMixes(value, dependsOnExamples, subjects);
    if (reason) refuse(value, reason);
    const first = value.shape[0];
    if (first === undefined || first % subjects !== 0) {
      refuse(
        value,
        `is ${shapeText(value.shape)}, whose first axis does not count ${subjects} subjects or their rows`,
      );
    }
  }
  return dependent;
}

/** The parameter has to be a parameter of a layer, and what else goes into the layer has to come row by row from examples. */
function requireLayer(parameter: Value, node: Value, dependent: ReadonlySet<Value>): void {
  const { perExample } = ruleOf(node);
  const reason = isNone(perExample)
    ? `${node.op} uses it, and ${perExample.none}`
    : node.inputs.some((input, at) => input === parameter && !perExample.parameters.includes(at))
      ? `it is the input of ${node.op}, not its weights`
      : !node.inputs.some((input) => dependent.has(input))
        ? `${node.op} applies it to values that are the same for all examples; learned positions are a shift of [n, t, d]`
        : undefined;
  if (reason) {
    throw GRAPH.NO_PER_EXAMPLE_RULE(`${parameter.name} has no per-example norm: ${reason}`, {
      details: { name: parameter.name },
    });
  }
}
