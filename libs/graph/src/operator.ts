import { type DType, type Shape, shapeText } from '@lethe/tensor';
import type { Operator, Value } from './builder.ts';
import { GRAPH } from './errors.ts';

/** What constructors of operators are written with. */

/** A refusal of shapes that says in which layer it arose. */
export const shapeError = (op: string, at: Value, message: string): Error =>
  GRAPH.SHAPE_DISAGREES(at.graph.located(message), { details: { op } });

export const disagree = (op: string, ...values: readonly Value[]): Error =>
  shapeError(
    op,
    values[0]!,
    `${op} cannot take ${values.map((value) => shapeText(value.shape)).join(' and ')}`,
  );

/** One operator of the graph that its first input belongs to. */
export const operator = (spec: Operator): Value => spec.inputs[0]!.graph.operator(spec);

export const integers = (value: Value, items: readonly number[]): Value =>
  value.graph.constant('int64', [items.length], BigInt64Array.from(items, BigInt));

/** The shape that two shapes broadcast to, or undefined. */
export function broadcast(a: Shape, b: Shape): Shape | undefined {
  const rank = Math.max(a.length, b.length);
  const out: number[] = [];
  for (let axis = 0; axis < rank; axis++) {
    const left = a[a.length - rank + axis] ?? 1;
    const right = b[b.length - rank + axis] ?? 1;
    if (left !== right && left !== 1 && right !== 1) return undefined;
    out.push(left === 1 ? right : left);
  }
  return out;
}

export type Operand = Value | number;

export function pair(op: string, a: Operand, b: Operand): [Value, Value] {
  const known = typeof a === 'number' ? b : a;
  if (typeof known === 'number') throw GRAPH.SHAPE_DISAGREES(`${op} of two numbers is not a graph`);
  const lift = (operand: Operand): Value =>
    typeof operand === 'number' ? known.graph.number(operand, known.dtype) : operand;
  return [lift(a), lift(b)];
}

export const elementwise =
  (op: string, type: string, result?: DType) =>
  (a: Operand, b: Operand): Value => {
    const inputs = pair(op, a, b);
    const shape = broadcast(inputs[0].shape, inputs[1].shape);
    if (!shape) throw disagree(op, ...inputs);
    if (inputs[0].dtype !== inputs[1].dtype) {
      throw GRAPH.DTYPE_DISAGREES(`${op} cannot take ${inputs[0].dtype} and ${inputs[1].dtype}`);
    }
    return operator({ op, type, inputs, shape, dtype: result ?? inputs[0].dtype });
  };

export const unary =
  (op: string, type: string) =>
  (x: Value): Value =>
    operator({ op, type, inputs: [x], shape: x.shape });
