import { elements, type Shape, sameShape, shapeText } from '@lethe/tensor';
import { ancestors, type GraphBuilder, type Value } from './builder.ts';
import { GRAPH } from './errors.ts';
import { add } from './ops.ts';
import { isNone, type Rule } from './rules/rule.ts';
import { RULES } from './rules/table.ts';

/** The rule of a value's operation. @throws LETHE-3022 the table has no row for it */
export function ruleOf(value: Value): Rule {
  const rule = Object.hasOwn(RULES, value.op) ? RULES[value.op] : undefined;
  if (!rule)
    throw GRAPH.NO_GRADIENT(`${value.op} has no row in the rule table`, { details: { op: value.op } });
  return rule;
}

/** A constant of ones. */
export function ones(graph: GraphBuilder, shape: Shape, dtype: Value['dtype']): Value {
  const count = elements(shape);
  return dtype === 'float64'
    ? graph.constant('float64', shape, new Float64Array(count).fill(1))
    : graph.constant('float32', shape, new Float32Array(count).fill(1));
}

/**
 * Reverse-mode differentiation of `sum(output * cotangent)`.
 * @returns the cotangent of every value between `output` and `wrt`, both included
 * @throws LETHE-3022 a value on the way has no gradient, with the reason
 */
export function cotangents(output: Value, wrt: readonly Value[], cotangent: Value): Map<Value, Value> {
  const order = ancestors([output]);
  const onTheWay = new Set<Value>(wrt);
  for (const value of order) if (value.inputs.some((input) => onTheWay.has(input))) onTheWay.add(value);

  const result = new Map<Value, Value>([[output, cotangent]]);
  for (const value of order.toReversed()) {
    const g = result.get(value);
    if (!g || !value.inputs.some((input) => onTheWay.has(input))) continue;
    const { vjp } = ruleOf(value);
    if (isNone(vjp)) {
      throw GRAPH.NO_GRADIENT(`${value.op} has no gradient: ${vjp.none}`, { details: { op: value.op } });
    }
    vjp(value, g).forEach((part, i) => {
      const input = value.inputs[i]!;
      if (!part || !onTheWay.has(input)) return;
      const sum = result.get(input);
      result.set(input, sum ? add(sum, part) : part);
    });
  }
  return result;
}

/**
 * Gradients of `sum(output * cotangent)` by each of `wrt`; the cotangent is ones when absent.
 * @param cotangent of the output's shape: for the lower half of a split model, the gradient that the upper half sent
 * @throws LETHE-3020 the cotangent has another shape; LETHE-3022; LETHE-3023 the output does not depend on a value of `wrt`
 * @example const [dw] = gradients(reduceSum(losses), [w])
 */
export function gradients(output: Value, wrt: readonly Value[], cotangent?: Value): Value[] {
  if (cotangent && !sameShape(cotangent.shape, output.shape)) {
    throw GRAPH.SHAPE_DISAGREES(
      `the cotangent is ${shapeText(cotangent.shape)}, the output ${shapeText(output.shape)}`,
    );
  }
  const found = cotangents(output, wrt, cotangent ?? ones(output.graph, output.shape, output.dtype));
  return wrt.map((value) => {
    const g = found.get(value);
    if (!g) {
      throw GRAPH.UNREACHABLE(`the output does not depend on ${value.name} in a differentiable way`, {
        details: { name: value.name },
      });
    }
    return g;
  });
}
