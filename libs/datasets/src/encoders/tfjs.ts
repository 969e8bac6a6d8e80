/**
 * TensorFlow.js graph models to ONNX (operator set 18). Only frozen forward graphs: no control flow, no variables. An operator is one entry of OPERATORS; one
 * that is not there is refused by name, as are forms of an operator whose shape would have to be known.
 *
 * What differs: int32 becomes int64 throughout (ONNX shapes and indices are int64); pictures stay NHWC at every name of the graph, with a Transpose on both
 * sides of a convolution; outputs of a split are slices.
 */
import { type Attribute, encodeModel, type OnnxNode, type OnnxPort, type WrittenPort } from '@lethe/graph';
import type { Tensor } from '@lethe/tensor';
import { DATASETS } from '../errors.ts';

interface TfjsAttribute {
  readonly i?: string | number;
  readonly b?: boolean;
  readonly type?: string | number;
  /** Bytes, or their base64. */
  readonly s?: readonly number[] | string;
  readonly list?: { readonly i?: readonly (string | number)[] };
}

export interface TfjsNode {
  readonly name: string;
  readonly op: string;
  readonly input?: readonly string[];
  readonly attr?: Readonly<Record<string, TfjsAttribute>>;
}

export interface Conversion {
  readonly nodes: readonly TfjsNode[];
  /** Values of the Const nodes. */
  readonly weights: ReadonlyMap<string, Tensor>;
  readonly inputs: readonly OnnxPort[];
  readonly output: { readonly node: string } & OnnxPort;
}

/** The graph that is being written. */
class Writer {
  readonly nodes: OnnxNode[] = [];
  readonly constants = new Map<string, Tensor>();

  add(
    type: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    output = `lethe/${type}_${this.nodes.length}`,
  ): string {
    const domain = type === 'FusedMatMul' ? 'com.microsoft' : '';
    this.nodes.push({ type, domain, inputs, output, attributes });
    return output;
  }

  /** The name of a constant; a list has one axis, a number none. */
  integers(values: readonly number[] | number): string {
    const list = typeof values === 'number' ? [values] : values;
    const name = `lethe/${typeof values === 'number' ? values : `[${values.join(',')}]`}`;
    const shape = typeof values === 'number' ? [] : [list.length];
    this.constants.set(name, { dtype: 'int64', shape, data: BigInt64Array.from(list, BigInt) });
    return name;
  }
}

/** One node as its operator sees it. */
class Context {
  readonly writer: Writer;
  readonly node: TfjsNode;
  readonly #constants: ReadonlyMap<string, Tensor>;

  constructor(writer: Writer, node: TfjsNode, constants: ReadonlyMap<string, Tensor>) {
    this.writer = writer;
    this.node = node;
    this.#constants = constants;
  }

  get inputs(): readonly string[] {
    return (this.node.input ?? [])
      .filter((name) => !name.startsWith('^'))
      .map((name) => name.replace(/:0$/u, ''));
  }

  refuse(why: string): Error {
    return DATASETS.TFJS_UNSUPPORTED(`${this.node.op} ${why}`, {
      details: { operator: this.node.op, node: this.node.name },
    });
  }

  input(index: number): string {
    const name = this.inputs[index];
    if (name === undefined) throw this.refuse(`lacks its input ${index}`);
    return name;
  }

  constant(index: number): Tensor {
    const value = this.#constants.get(this.input(index));
    if (!value) throw this.refuse(`needs a constant as input ${index}`);
    return value;
  }

  numbers(index: number): number[] {
    return Array.from(this.constant(index).data as ArrayLike<number | bigint>, Number);
  }

  integer(name: string): number {
    return Number(this.node.attr?.[name]?.i ?? 0);
  }

  flag(name: string): boolean {
    return this.node.attr?.[name]?.b === true;
  }

  list(name: string): number[] {
    return (this.node.attr?.[name]?.list?.i ?? []).map(Number);
  }

  text(name: string): string {
    const value = this.node.attr?.[name]?.s ?? '';
    return typeof value === 'string'
      ? Buffer.from(value, 'base64').toString()
      : Buffer.from(value).toString();
  }

  /** A node whose output has the name that the graph knows. */
  give(type: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}): void {
    this.writer.add(type, inputs, attributes, this.node.name);
  }
}

type Operator = (context: Context) => void;

const same =
  (type: string, attributes: Readonly<Record<string, Attribute>> = {}): Operator =>
  (c) =>
    c.give(type, c.inputs, attributes);

const reduce =
  (type: string): Operator =>
  (c) =>
    c.give(type, [c.input(0), c.writer.integers(c.numbers(1))], {
      keepdims: { int: c.flag('keep_dims') ? 1 : 0 },
    });

/** Values put into a tensor that is filled with one value. */
const scatter = (
  c: Context,
  fill: string,
  shape: string,
  indices: string,
  values: string,
  reduction: string,
): void =>
  c.give('ScatterND', [c.writer.add('Expand', [fill, shape]), indices, values], {
    reduction: { string: reduction },
  });

const FAR = Number.MAX_SAFE_INTEGER;

function stridedSlice(c: Context): void {
  for (const mask of ['ellipsis_mask', 'new_axis_mask']) {
    if (c.integer(mask) !== 0) throw c.refuse(`with ${mask}`);
  }
  const [begin, end, strides] = [c.numbers(1), c.numbers(2), c.numbers(3)];
  const has = (mask: string, axis: number): boolean => ((c.integer(mask) >> axis) & 1) === 1;
  const axes = begin.map((_, axis) => axis);
  if (strides.some((stride) => stride <= 0)) throw c.refuse('with a stride that is not positive');
  const shrunk = axes.filter((axis) => has('shrink_axis_mask', axis));
  const starts = begin.map((at, axis) => (has('begin_mask', axis) && !shrunk.includes(axis) ? 0 : at));
  const ends = end.map((at, axis) => {
    if (shrunk.includes(axis)) return starts[axis] === -1 ? FAR : starts[axis]! + 1;
    return has('end_mask', axis) ? FAR : at;
  });
  const slice = [c.input(0), ...[starts, ends, axes, strides].map((list) => c.writer.integers(list))];
  if (shrunk.length === 0) c.give('Slice', slice);
  else c.give('Squeeze', [c.writer.add('Slice', slice), c.writer.integers(shrunk)]);
}

function convolution(c: Context, depthwise: boolean): void {
  if (c.text('data_format') !== 'NHWC') throw c.refuse(`in the layout ${c.text('data_format')}`);
  const padding = c.text('padding');
  if (padding !== 'VALID' && padding !== 'SAME') throw c.refuse(`with the padding ${padding}`);
  const weight = c.constant(1);
  const [height, width, inputs, outputs] = weight.shape as [number, number, number, number];
  // HWIO to OIHW; depthwise HWCM to (C M) 1 HW.
  const filters = inputs * outputs;
  const data = new Float32Array(height * width * filters);
  const from = weight.data as Float32Array;
  for (let p = 0; p < height * width; p++) {
    for (let i = 0; i < inputs; i++) {
      for (let o = 0; o < outputs; o++) {
        const filter = depthwise ? i * outputs + o : o * inputs + i;
        data[filter * height * width + p] = from[(p * inputs + i) * outputs + o]!;
      }
    }
  }
  const name = `${c.node.name}/weight`;
  const shape = depthwise ? [filters, 1, height, width] : [outputs, inputs, height, width];
  c.writer.constants.set(name, { dtype: 'float32', shape, data });
  const spatial = (list: readonly number[]): number[] => (list.length === 4 ? list.slice(1, 3) : [1, 1]);
  const planes = c.writer.add('Transpose', [c.input(0)], { perm: { ints: [0, 3, 1, 2] } });
  const result = c.writer.add('Conv', [planes, name], {
    auto_pad: { string: padding === 'SAME' ? 'SAME_UPPER' : 'VALID' },
    strides: { ints: spatial(c.list('strides')) },
    dilations: { ints: spatial(c.list('dilations')) },
    group: { int: depthwise ? inputs : 1 },
  });
  c.give('Transpose', [result], { perm: { ints: [0, 2, 3, 1] } });
}

function matrixProduct(c: Context, left: string, right: string): void {
  const [transA, transB] = [c.flag(left) ? 1 : 0, c.flag(right) ? 1 : 0];
  if (transA + transB === 0) c.give('MatMul', c.inputs);
  else c.give('FusedMatMul', c.inputs, { transA: { int: transA }, transB: { int: transB } });
}

function split(c: Context): void {
  const [axis = 0] = c.numbers(2);
  let start = 0;
  for (const [index, size] of c.numbers(1).entries()) {
    const bounds = [[start], [start + size], [axis]].map((list) => c.writer.integers(list));
    const output = index === 0 ? c.node.name : `${c.node.name}:${index}`;
    c.writer.add('Slice', [c.input(0), ...bounds], {}, output);
    start += size;
  }
}

/** DataType of tensorflow/core/framework/types.proto to TensorProto.DataType; both integers become int64. */
const CASTS = new Map(
  [1, 3, 9, 10, 'DT_FLOAT', 'DT_INT32', 'DT_INT64', 'DT_BOOL'].map((key, i) => [key, [1, 7, 7, 9][i % 4]!]),
);

const OPERATORS: Readonly<Record<string, Operator>> = {
  Add: same('Add'),
  AddV2: same('Add'),
  BatchMatMul: (c) => matrixProduct(c, 'adj_x', 'adj_y'),
  BatchMatMulV2: (c) => matrixProduct(c, 'adj_x', 'adj_y'),
  BiasAdd: same('Add'),
  Cast: (c) => {
    const type = c.node.attr?.DstT?.type ?? '';
    const to = CASTS.get(type);
    if (to === undefined) throw c.refuse(`to the type ${type}`);
    c.give('Cast', [c.input(0)], { to: { int: to } });
  },
  ConcatV2: (c) => {
    const [axis = 0] = c.numbers(c.inputs.length - 1);
    c.give('Concat', c.inputs.slice(0, -1), { axis: { int: axis } });
  },
  Conv2D: (c) => convolution(c, false),
  Cos: same('Cos'),
  DepthwiseConv2dNative: (c) => convolution(c, true),
  ExpandDims: (c) => c.give('Unsqueeze', [c.input(0), c.writer.integers(c.numbers(1))]),
  GatherNd: same('GatherND'),
  GatherV2: (c) => {
    if (c.integer('batch_dims') !== 0) throw c.refuse('with batch_dims');
    c.give('Gather', c.inputs.slice(0, 2), { axis: { int: c.numbers(2)[0]! } });
  },
  Greater: same('Greater'),
  Identity: same('Identity'),
  Less: same('Less'),
  LogicalNot: same('Not'),
  MatMul: (c) => matrixProduct(c, 'transpose_a', 'transpose_b'),
  Max: reduce('ReduceMax'),
  Maximum: same('Max'),
  Mean: reduce('ReduceMean'),
  Minimum: same('Min'),
  Mul: same('Mul'),
  Pack: (c) => {
    const axis = c.integer('axis');
    const parts = c.inputs.map((name) => c.writer.add('Unsqueeze', [name, c.writer.integers([axis])]));
    c.give('Concat', parts, { axis: { int: axis } });
  },
  Prod: reduce('ReduceProd'),
  Range: same('Range'),
  RealDiv: same('Div'),
  Relu: same('Relu'),
  Reshape: same('Reshape'),
  Rsqrt: (c) => c.give('Reciprocal', [c.writer.add('Sqrt', [c.input(0)])]),
  ScatterNd: (c) => {
    const name = 'lethe/zero';
    c.writer.constants.set(name, { dtype: 'float32', shape: [], data: new Float32Array(1) });
    scatter(c, name, c.input(2), c.input(0), c.input(1), 'add');
  },
  Shape: same('Shape'),
  Sigmoid: same('Sigmoid'),
  Sin: same('Sin'),
  Slice: (c) => {
    const [begin, size] = [c.numbers(1), c.numbers(2)];
    const ends = begin.map((at, axis) => (size[axis] === -1 ? FAR : at + size[axis]!));
    const axes = begin.map((_, axis) => axis);
    c.give('Slice', [c.input(0), ...[begin, ends, axes].map((list) => c.writer.integers(list))]);
  },
  Softmax: same('Softmax', { axis: { int: -1 } }),
  SparseToDense: (c) => scatter(c, c.input(3), c.input(1), c.input(0), c.input(2), 'none'),
  SplitV: split,
  Square: (c) => c.give('Mul', [c.input(0), c.input(0)]),
  Squeeze: (c) => {
    const axes = c.list('squeeze_dims');
    c.give('Squeeze', axes.length > 0 ? [c.input(0), c.writer.integers(axes)] : [c.input(0)]);
  },
  StridedSlice: stridedSlice,
  Sub: same('Sub'),
  Sum: reduce('ReduceSum'),
  Tanh: same('Tanh'),
  Transpose: (c) => c.give('Transpose', [c.input(0)], { perm: { ints: c.numbers(1) } }),
  // Of one input: the places that are true, [count, rank], as int64.
  Where: (c) => c.give('Transpose', [c.writer.add('NonZero', [c.input(0)])]),
};

/** The operators that can be converted. */
export const TFJS_OPERATORS: readonly string[] = [...Object.keys(OPERATORS), 'Const', 'Placeholder'];

/**
 * The part of a TensorFlow.js graph that an output needs, as an ONNX model.
 * @returns bytes of a ModelProto, the same for the same graph
 * @throws LETHE-2320 an operator, or a form of one, that is not supported; the message names it
 */
export function convertTfjs({ nodes, weights, inputs, output }: Conversion): Uint8Array {
  const byName = new Map(nodes.map((node) => [node.name, node]));
  const given = new Set(inputs.map(({ name }) => name));
  const writer = new Writer();
  const used = new Map<string, Tensor>();
  const done = new Set<string>();
  const open = new Set<string>();
  // Depth first with an own stack: graphs are deep.
  const stack: string[] = [output.node];
  while (stack.length > 0) {
    const name = stack.at(-1)!;
    const node = byName.get(name);
    if (done.has(name) || given.has(name)) {
      stack.pop();
      continue;
    }
    if (!node) throw DATASETS.TFJS_UNSUPPORTED(`the graph has no node ${name}`);
    if (node.op === 'Const') {
      const value = weights.get(name);
      if (!value) throw DATASETS.TFJS_UNSUPPORTED(`Const has no weight ${name}`);
      used.set(name, value);
      done.add(name);
      continue;
    }
    const operator = Object.hasOwn(OPERATORS, node.op) ? OPERATORS[node.op] : undefined;
    if (!operator) {
      const what = node.op === 'Placeholder' ? 'is not among the inputs that were given' : 'is not supported';
      throw DATASETS.TFJS_UNSUPPORTED(`${node.op} ${what}: ${name}`, {
        details: { operator: node.op, node: name },
      });
    }
    const context = new Context(writer, node, weights);
    const missing = context.inputs.map(nodeOf).filter((input) => !done.has(input) && !given.has(input));
    if (missing.length === 0) {
      operator(context);
      done.add(name);
      continue;
    }
    if (open.has(name)) throw DATASETS.TFJS_UNSUPPORTED(`the graph has a loop at ${name}`);
    open.add(name);
    stack.push(...missing.toReversed());
  }
  if (output.node !== output.name) writer.add('Identity', [output.node], {}, output.name);
  const needed = new Set(writer.nodes.flatMap((node) => node.inputs));
  const constants = [...used, ...writer.constants].filter(([name]) => needed.has(name));
  const written: readonly WrittenPort[] = inputs;
  return encodeModel({
    inputs: written,
    outputs: [output],
    constants: constants.map(([name, tensor]) => ({ name, tensor })),
    nodes: writer.nodes,
  });
}

/** The node that a value comes from: `split:1` from `split`. */
const nodeOf = (value: string): string => value.replace(/:\d+$/u, '');
