import { type DType, elements, type Shape, sameShape, shapeText } from '@lethe/tensor';
import { gelu, hardTanh, leakyRelu, quickGelu, silu } from './activations.ts';
import type { GraphBuilder, Value } from './builder.ts';
import * as functions from './functions.ts';
import { dense, embedding, scale, shift } from './layers.ts';
import { layerNormalize } from './normalization.ts';
import { ONNX_DTYPE } from './onnx.ts';
import { knownIntegers, sliceBounds } from './onnx-fold.ts';
import { averagePool, conv, globalAveragePool, maxPool } from './onnx-images.ts';
import * as ops from './ops.ts';
import { addAtIndices, concat, gather as gathered, pad, pick, slice } from './ops-structure.ts';

/** One node of a file, as the row that imports it sees it. What a row asks for and the file does not have is refused by name. */
export interface ImportedNode {
  readonly graph: GraphBuilder;
  readonly opset: number;
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: number;
  /** A required input. */
  input(at: number): Value;
  int(name: string, otherwise: number): number;
  ints(name: string): readonly number[] | undefined;
  float(name: string, otherwise: number): number;
  string(name: string, otherwise: string): string;
  /** Integers that the file keeps as an attribute in older and as an input in newer versions; undefined when absent. */
  integersOf(name: string, at: number): readonly number[] | undefined;
  /** Whether a trained parameter reaches the value. */
  isTrained(value: Value): boolean;
  /** Weights of a convolution as the matrix that `conv2d` takes, and the shape [o, c, kh, kw] that the file gives them. */
  kernel(at: number): { readonly matrix: Value; readonly shape: Shape };
  /** @throws LETHE-3028 */
  refuse(reason: string): never;
}

/** Builds a node of these operations; an array where the node has several outputs, undefined where the node is better run as it stands. */
export type Import = (node: ImportedNode) => Value | readonly Value[] | undefined;

const axisOf = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

const isParameter = ({ source }: Value): boolean => source.kind === 'input' && source.role === 'parameter';
/** The same for all examples, and not computed. */
const isShared = (value: Value): boolean => isParameter(value) || value.source.kind === 'constant';

/** Leading axes as rows: what layers work on. */
const asRows = (x: Value): Value => ops.reshape(x, [elements(x.shape.slice(0, -1)), x.shape.at(-1)!]);

/** `x w` of a matrix that is the same for all examples, for x of any rank. */
function linear(x: Value, w: Value, b?: Value, transposed = false): Value {
  const d = w.shape[transposed ? 0 : 1]!;
  return ops.reshape(dense(asRows(x), w, b, { transposed }), [...x.shape.slice(0, -1), d]);
}

/** The layer without a bias that a value is the result of, also seen through the reshape of `linear`. */
function unbiased(value: Value): Value | undefined {
  const seen = value.op === 'reshape' ? value.inputs[0]! : value;
  const keeps = seen.shape.at(-1) === value.shape.at(-1);
  return seen.op === 'dense' && seen.inputs.length === 2 && keeps ? seen : undefined;
}

/** A sum; a vector that is added to a product of matrices is the bias of that layer. */
function sum(a: Value, b: Value): Value {
  for (const [x, vector] of [[a, b] as const, [b, a] as const]) {
    const layer =
      isShared(vector) && sameShape(vector.shape, [x.shape.at(-1) ?? 0]) ? unbiased(x) : undefined;
    if (layer) {
      const [rows, w] = layer.inputs as [Value, Value];
      const transposed = ops.transposed(layer).transB;
      return ops.reshape(dense(rows, w, vector, { transposed }), x.shape);
    }
    if (isParameter(vector) && trails(x, vector)) return shift(x, vector);
  }
  return ops.add(a, b);
}

function product(a: Value, b: Value): Value {
  for (const [x, vector] of [[a, b] as const, [b, a] as const]) {
    if (isParameter(vector) && trails(x, vector)) return scale(x, vector);
  }
  return ops.mul(a, b);
}

const trails = (x: Value, parameter: Value): boolean => {
  const axes = parameter.shape.length;
  return axes >= 1 && axes < x.shape.length && sameShape(x.shape.slice(-axes), parameter.shape);
};

/** Products of any ranks, as numpy.matmul forms them. */
function matmul(a: Value, b: Value): Value {
  if (isShared(b) && b.shape.length === 2 && a.shape.length >= 2) return linear(a, b);
  const left = a.shape.length === 1 ? ops.reshape(a, [1, ...a.shape]) : a;
  const right = b.shape.length === 1 ? ops.reshape(b, [...b.shape, 1]) : b;
  const lead = broadcast(left.shape.slice(0, -2), right.shape.slice(0, -2));
  const wide = (x: Value): Value => ops.expand(x, [...lead, ...x.shape.slice(-2)]);
  const found = ops.matmul(wide(left), wide(right));
  const rows = a.shape.length === 1 ? [] : [left.shape.at(-2)!];
  const columns = b.shape.length === 1 ? [] : [right.shape.at(-1)!];
  return ops.reshape(found, [...lead, ...rows, ...columns]);
}

/** The shape that leading axes broadcast to; where they do not, the longer one, which the constructor then refuses. */
function broadcast(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  const at = (shape: Shape, axis: number): number => shape[axis - rank + shape.length] ?? 1;
  return Array.from({ length: rank }, (_, axis) => Math.max(at(a, axis), at(b, axis)));
}

const gemm: Import = (node) => {
  const [a, b, c] = [node.input(0), node.input(1), node.inputs[2]];
  const [transA, transB] = [node.int('transA', 0) === 1, node.int('transB', 0) === 1];
  const [alpha, beta] = [node.float('alpha', 1), node.float('beta', 1)];
  const vector = !c || c.shape.length === 1;
  if (!transA && isShared(b) && vector && alpha === 1 && (beta === 1 || !c)) {
    const whole = !c || c.shape[0] === b.shape[transB ? 0 : 1];
    if (whole) return dense(a, b, c, { transposed: transB });
  }
  const flags = { transA, transB, alpha };
  if (!c || beta === 0) return ops.matmul(a, b, flags);
  return ops.addProduct(beta === 1 ? c : ops.mul(c, beta), a, b, flags);
};

const fusedMatmul: Import = (node) => {
  const [transA, transB] = [node.int('transA', 0) === 1, node.int('transB', 0) === 1];
  return ops.matmul(node.input(0), node.input(1), { transA, transB, alpha: node.float('alpha', 1) });
};

const reshape: Import = (node) => {
  const x = node.input(0);
  const target = node.integersOf('shape', 1) ?? node.refuse('its shape is computed while the model runs');
  const zeros = node.int('allowzero', 0) === 1;
  const sizes = target.map((size, axis) => (size === 0 && !zeros ? (x.shape[axis] ?? 0) : size));
  const known = elements(sizes.filter((size) => size !== -1));
  const whole = sizes.map((size) => (size === -1 ? elements(x.shape) / known : size));
  if (whole.some((size) => !Number.isSafeInteger(size) || size < 0)) {
    node.refuse(`it cannot make ${shapeText(target)} of ${shapeText(x.shape)}`);
  }
  return ops.reshape(x, whole);
};

const reduce =
  (build: (x: Value, axes?: readonly number[], keepDims?: boolean) => Value): Import =>
  (node) => {
    const x = node.input(0);
    const axes = node.integersOf('axes', 1);
    const keep = node.int('keepdims', 1) === 1;
    const idle = node.int('noop_with_empty_axes', 0) === 1;
    if (node.inputs[1] && !axes) node.refuse('its axes are computed while the model runs');
    if (axes === undefined || axes.length === 0) return idle ? x : build(x, undefined, keep);
    return build(x, axes, keep);
  };

/** Softmax is over one axis since version 13, over all axes from `axis` on before. */
const softmax =
  (build: (x: Value) => Value): Import =>
  (node) => {
    const x = node.input(0);
    const rank = x.shape.length;
    const axis = axisOf(node.int('axis', node.opset >= 13 ? -1 : 1), rank);
    if (node.opset < 13) {
      const rows = elements(x.shape.slice(0, axis));
      return ops.reshape(build(ops.reshape(x, [rows, elements(x.shape) / rows])), x.shape);
    }
    if (axis === rank - 1) return build(x);
    const order = x.shape.map((_, at) => (at === axis ? rank - 1 : at === rank - 1 ? axis : at));
    return ops.transpose(build(ops.transpose(x, order)), order);
  };

/** int32 becomes int64, the integers of a graph here. */
const cast: Import = (node) => {
  const code = node.int('to', 0);
  const found = Object.entries(ONNX_DTYPE).find(([, number]) => number === code);
  const to = (code === 6 ? 'int64' : found?.[0]) as DType | undefined;
  const x = node.input(0);
  if (!to) return node.refuse(`it casts to ONNX element type ${code}, which has no place in a graph here`);
  return x.dtype === to ? x : ops.cast(x, to);
};

const axesMoved =
  (target: (x: Value, axes: readonly number[] | undefined) => Shape): Import =>
  (node) => {
    const x = node.input(0);
    return ops.reshape(x, target(x, node.integersOf('axes', 1)));
  };

const unsqueezed = (x: Value, axes: readonly number[] = []): Shape => {
  const rank = x.shape.length + axes.length;
  const whole = axes.map((axis) => axisOf(axis, rank));
  const rest = [...x.shape];
  return Array.from({ length: rank }, (_, axis) => (whole.includes(axis) ? 1 : rest.shift()!));
};

const squeezed = (x: Value, axes?: readonly number[]): Shape => {
  const whole = axes?.map((axis) => axisOf(axis, x.shape.length));
  return x.shape.filter((size, axis) => (whole ? !whole.includes(axis) : size !== 1));
};

const flatten: Import = (node) => {
  const x = node.input(0);
  const axis = axisOf(node.int('axis', 1), x.shape.length);
  const rows = elements(x.shape.slice(0, axis));
  return ops.reshape(x, [rows, elements(x.shape.slice(axis))]);
};

/** Powers of a few constant exponents; others have no constructor. */
const pow: Import = (node) => {
  const x = node.input(0);
  const { source } = node.input(1);
  const exponent =
    source.kind === 'constant' && source.tensor.data.length === 1 ? Number(source.tensor.data[0]) : NaN;
  const powers: Readonly<Record<string, () => Value>> = {
    0.5: () => ops.sqrt(x),
    1: () => x,
    2: () => functions.square(x),
    3: () => ops.mul(functions.square(x), x),
    '-0.5': () => ops.div(1, ops.sqrt(x)),
    '-1': () => ops.div(1, x),
  };
  return (
    powers[exponent] ?? (() => node.refuse('only the constant exponents -1, -0.5, 0.5, 1, 2, 3 are known'))
  )();
};

/** Constant indices along any axis, or rows of a table (axis 0) by computed ids. */
const gather: Import = (node) => {
  const [x, ids] = [node.input(0), node.input(1)];
  const axis = axisOf(node.int('axis', 0), x.shape.length);
  const known = knownIntegers(ids);
  if (known && !isParameter(x)) {
    const data = known.items.map((id) => axisOf(id, x.shape[axis]!));
    return gathered(x, { shape: known.shape, data }, axis);
  }
  if (axis !== 0 || x.shape.length < 2)
    node.refuse('it gathers by computed indices along an axis other than the first');
  const rows = ops.reshape(x, [x.shape[0]!, elements(x.shape.slice(1))]);
  const found = embedding(rows, ops.reshape(ids, [elements(ids.shape)]));
  return ops.reshape(found, [...ids.shape, ...x.shape.slice(1)]);
};

/** Elements of each row of a matrix, column after column: the form in which losses pick the score of a label. */
const gatherElements: Import = (node) => {
  const [x, ids] = [node.input(0), node.input(1)];
  const axis = axisOf(node.int('axis', 0), x.shape.length);
  if (x.shape.length !== 2 || ids.dtype !== 'int64') node.refuse('only elements of matrices are known');
  const turned = (value: Value): Value => (axis === 0 ? ops.transpose(value) : value);
  const [rows, at] = [turned(x), turned(ids)];
  const [n, columns] = at.shape as [number, number];
  if (rows.shape[0] !== n) node.refuse('it leaves rows out');
  const picked = Array.from({ length: columns }, (_, column) =>
    ops.reshape(pick(rows, ops.reshape(slice(at, 1, column, column + 1), [n])), [n, 1]),
  );
  return turned(concat(picked, 1));
};

/** Sums into elements of rows, as the gradient of `pick` forms them. */
const scatterElements: Import = (node) => {
  const x = node.input(0);
  const axis = axisOf(node.int('axis', 0), x.shape.length);
  const adds = node.string('reduction', 'none') === 'add';
  if (!adds || x.shape.length !== 2 || axis !== 1)
    node.refuse('only sums into the rows of a matrix are known');
  return addAtIndices(x, node.input(1), node.input(2));
};

/** Sums into whole rows, as the gradient of `embedding` forms them. */
const scatterRows: Import = (node) => {
  const inputs = [node.input(0), node.input(1), node.input(2)];
  const adds = node.string('reduction', 'none') === 'add';
  if (!adds || inputs[1]!.shape.length !== 2 || inputs[1]!.shape[1] !== 1)
    node.refuse('only sums into whole rows are known');
  const attributes = { reduction: { string: 'add' } };
  return node.graph.operator({
    op: 'scatterAdd',
    type: 'ScatterND',
    inputs,
    attributes,
    shape: inputs[0]!.shape,
  });
};

/** Attributes before version 10, inputs since. Steps are positive. */
const sliced: Import = (node) => {
  const starts = node.integersOf('starts', 1) ?? node.refuse('its bounds are computed while the model runs');
  const ends = node.integersOf('ends', 2) ?? node.refuse('its bounds are computed while the model runs');
  const axes = node.integersOf('axes', 3) ?? starts.map((_, axis) => axis);
  const steps = node.integersOf('steps', 4) ?? starts.map(() => 1);
  return axes.reduce((x, given, i) => {
    const axis = axisOf(given, x.shape.length);
    const step = steps[i]!;
    const { first, count } = sliceBounds(x.shape[axis]!, starts[i]!, ends[i]!, step);
    if (count === 0) node.refuse('it takes nothing');
    if (step > 0) return slice(x, axis, first, first + (count - 1) * step + 1, step);
    return gathered(
      x,
      Array.from({ length: count }, (_, at) => first + at * step),
      axis,
    );
  }, node.input(0));
};

const split: Import = (node) => {
  const x = node.input(0);
  const axis = axisOf(node.int('axis', 0), x.shape.length);
  const count = node.int('num_outputs', node.outputs);
  const even = Math.ceil(x.shape[axis]! / count);
  const stated = node.integersOf('split', 1);
  if (node.inputs[1] && !stated) node.refuse('its sizes are computed while the model runs');
  let start = 0;
  return Array.from({ length: node.outputs }, (_, i) => {
    const end = stated ? start + stated[i]! : Math.min(x.shape[axis]!, start + even);
    const part = slice(x, axis, start, end);
    start = end;
    return part;
  });
};

/** Equal elements around; other modes have no constructor. */
const padded: Import = (node) => {
  const x = node.input(0);
  if (node.string('mode', 'constant') !== 'constant') node.refuse('only padding with a constant is known');
  const sizes = node.integersOf('pads', 1) ?? node.refuse('its sizes are computed while the model runs');
  if (sizes.some((size) => size < 0)) node.refuse('it cuts where it should pad');
  const rank = x.shape.length;
  const axes = knownIntegers(node.inputs[3])?.items ?? x.shape.map((_, axis) => axis);
  const along = (offset: number): number[] =>
    x.shape.map((_, axis) => {
      const at = axes.findIndex((given) => axisOf(given, rank) === axis);
      return at < 0 ? 0 : sizes[at + offset]!;
    });
  const filler = node.inputs[2]?.source;
  if (filler && filler.kind !== 'constant') node.refuse('its value is computed while the model runs');
  const value = filler?.kind === 'constant' ? Number(filler.tensor.data[0]) : node.float('value', 0);
  return pad(x, along(0), along(axes.length), value);
};

/** With the statistics of the file, as in inference: `(x - mean) / sqrt(variance + epsilon) * scale + shift`, axis 1. */
const batchNormalization: Import = (node) => {
  if (node.int('training_mode', 0) === 1 || node.int('spatial', 1) === 0)
    node.refuse('only its inference mode is known: batch statistics mix examples');
  node.float('momentum', 0.9);
  const x = node.input(0);
  const [gamma, beta, mean, variance] = [1, 2, 3, 4].map((at) => node.input(at)) as [
    Value,
    Value,
    Value,
    Value,
  ];
  const along = (value: Value): Value =>
    ops.reshape(value, [value.shape[0]!, ...x.shape.slice(2).map(() => 1)]);
  const deviation = ops.sqrt(ops.add(along(variance), node.float('epsilon', 1e-5)));
  const normal = ops.div(ops.sub(x, along(mean)), deviation);
  if (!isParameter(gamma) && !isParameter(beta)) return ops.add(ops.mul(normal, along(gamma)), along(beta));
  // Layers have their parameters on the last axis.
  const rest = x.shape.map((_, axis) => axis).slice(2);
  const last = rest.length > 0 ? ops.transpose(normal, [0, ...rest, 1]) : normal;
  const found = sum(product(last, gamma), beta);
  return rest.length > 0
    ? ops.transpose(found, [0, x.shape.length - 1, ...rest.map((axis) => axis - 1)])
    : found;
};

const dropout: Import = (node) => {
  // The ratio and the training flag say what training would do; a run of the file is inference.
  node.float('ratio', 0.5);
  node.int('seed', 0);
  const flag = node.inputs[2]?.source;
  const training = flag?.kind === 'constant' ? flag.tensor.data[0] !== 0 : flag !== undefined;
  if (training) node.refuse('it is in training mode; masks are inputs of a graph here');
  return node.input(0);
};

const unary =
  (build: (x: Value) => Value): Import =>
  (node) =>
    build(node.input(0));
const binary =
  (build: (a: Value, b: Value) => Value): Import =>
  (node) => {
    if (node.opset < 7 && node.int('broadcast', 0) === 1) node.refuse('it broadcasts as before version 7');
    return build(node.input(0), node.input(1));
  };
/** Operators of any number of operands. */
const folded =
  (build: (a: Value, b: Value) => Value): Import =>
  (node) =>
    node.inputs.map((_, at) => node.input(at)).reduce((a, b) => build(a, b));

const expand: Import = (node) => {
  const target = node.integersOf('shape', 1) ?? node.refuse('its shape is computed while the model runs');
  const x = node.input(0);
  return ops.expand(x, broadcast(x.shape, target));
};

const constantOfShape: Import = (node) =>
  node.refuse(`its shape ${shapeText(node.inputs[0]?.shape ?? [])} is computed while the model runs`);

/** Over the axes from `axis` on, then gain and bias as layers of their own. */
const layerNormalization: Import = (node) => {
  const x = node.input(0);
  const axis = axisOf(node.int('axis', -1), x.shape.length);
  node.int('stash_type', 1);
  if (axis === 0) node.refuse('it normalises over the examples');
  const normal = layerNormalize(x, node.float('epsilon', 1e-5), x.shape.length - axis);
  const scaled = product(normal, node.input(1));
  const bias = node.inputs[2];
  return bias ? sum(scaled, bias) : scaled;
};

const isNumber = (value: Value | undefined): value is Value =>
  value?.source.kind === 'constant' && value.source.tensor.data.length === 1;
const numberOf = (value: Value): number =>
  value.source.kind === 'constant' ? Number(value.source.tensor.data[0]) : Number.NaN;

/** Bounds are inputs since version 11, attributes before. */
const clip: Import = (node) => {
  const x = node.input(0);
  const [low, high] = [node.inputs[1], node.inputs[2]];
  const [least, most] = [node.float('min', -Infinity), node.float('max', Infinity)];
  if (isNumber(low) && isNumber(high) && numberOf(low) === -1 && numberOf(high) === 1) return hardTanh(x);
  const floor = low ?? (least === -Infinity ? undefined : least);
  const ceiling = high ?? (most === Infinity ? undefined : most);
  const above = floor === undefined ? x : ops.maximum(x, floor);
  return ceiling === undefined ? above : ops.minimum(above, ceiling);
};

/** Slopes outside of [0, 1] are none of a maximum. */
const leaky: Import = (node) => {
  const slope = node.float('alpha', 0.01);
  if (!(slope >= 0 && slope <= 1)) node.refuse(`its slope is ${slope}, not in 0 to 1`);
  return leakyRelu(node.input(0), slope);
};

const geluOf: Import = (node) => {
  const x = node.input(0);
  if (node.string('approximate', 'none') === 'none') return gelu(x);
  // Hendrycks and Gimpel 2016, the form with tanh.
  const inner = ops.mul(
    ops.add(x, ops.mul(ops.mul(functions.square(x), x), 0.044715)),
    Math.sqrt(2 / Math.PI),
  );
  return ops.mul(ops.mul(x, 0.5), ops.add(ops.tanh(inner), 1));
};

const quickGeluOf: Import = (node) => {
  const [x, alpha] = [node.input(0), node.float('alpha', 1.702)];
  if (Math.fround(alpha) === Math.fround(1.702)) return quickGelu(x);
  return alpha === 1 ? silu(x) : ops.mul(x, ops.sigmoid(ops.mul(x, alpha)));
};

/** Rows of the standard operators. An operator without a row is run as it is, or refused (see onnx-import.ts). */
export const OPERATORS: Readonly<Record<string, Import>> = {
  Add: binary(sum),
  Sub: binary(ops.sub),
  Mul: binary(product),
  Div: binary(ops.div),
  Min: folded(ops.minimum),
  Max: folded(ops.maximum),
  Sum: folded(sum),
  Less: binary(ops.less),
  Greater: binary(ops.greater),
  GreaterOrEqual: binary(ops.greaterOrEqual),
  Equal: binary(ops.equal),
  Where: (node) => ops.where(node.input(0), node.input(1), node.input(2)),
  Neg: unary(ops.neg),
  Abs: unary(ops.abs),
  Sign: unary(ops.sign),
  Reciprocal: unary(ops.reciprocal),
  Erf: unary(ops.erf),
  Round: unary(ops.round),
  Sqrt: unary(ops.sqrt),
  Exp: unary(ops.exp),
  Log: unary(ops.log),
  Relu: unary(ops.relu),
  Tanh: unary(ops.tanh),
  Sigmoid: unary(ops.sigmoid),
  Identity: unary((x) => x),
  Softmax: softmax(ops.softmax),
  LogSoftmax: softmax(ops.logSoftmax),
  Cast: cast,
  ReduceSum: reduce(ops.reduceSum),
  ReduceMean: reduce(ops.reduceMean),
  ReduceMax: reduce(ops.reduceMax),
  ReduceSumSquare: reduce(ops.reduceSumSquare),
  Reshape: reshape,
  Flatten: flatten,
  Squeeze: axesMoved(squeezed),
  Unsqueeze: axesMoved(unsqueezed),
  Expand: expand,
  ConstantOfShape: constantOfShape,
  Transpose: (node) => {
    const x = node.input(0);
    return ops.transpose(x, node.ints('perm') ?? x.shape.map((_, axis) => x.shape.length - 1 - axis));
  },
  MatMul: (node) => matmul(node.input(0), node.input(1)),
  Gemm: gemm,
  Pow: pow,
  Gather: gather,
  GatherElements: gatherElements,
  ScatterElements: scatterElements,
  ScatterND: scatterRows,
  Concat: (node) => {
    const [first, ...others] = node.inputs.map((_, at) => node.input(at));
    return concat([first ?? node.input(0), ...others], node.int('axis', 0));
  },
  Slice: sliced,
  Split: split,
  Pad: padded,
  BatchNormalization: batchNormalization,
  Dropout: dropout,
  LayerNormalization: layerNormalization,
  Clip: clip,
  LeakyRelu: leaky,
  Gelu: geluOf,
  Conv: conv,
  MaxPool: maxPool,
  AveragePool: averagePool,
  GlobalAveragePool: globalAveragePool,
};

/** Operators of ONNX Runtime's own domain that we write ourselves. */
export const MICROSOFT: Readonly<Record<string, Import>> = {
  FusedMatMul: fusedMatmul,
  Gelu: geluOf,
  QuickGelu: quickGeluOf,
};
