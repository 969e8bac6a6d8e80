import { hex } from '@lethe/std';
import { type Shape, sameShape, shapeText, type Tensor, tensor, tensorsDigest } from '@lethe/tensor';
import { ancestors, type Value } from './builder.ts';
import { ruleOf } from './differentiate.ts';
import { GRAPH } from './errors.ts';
import { encodeModel, type OnnxNode, type WrittenPort } from './onnx.ts';
import { knownIntegers } from './onnx-fold.ts';
import { transposed } from './ops.ts';

/** The trained forward pass as a file of its own: parameters inside, standard operators only, loadable by any ONNX runtime. */
export interface ExportOptions {
  readonly documentation?: string;
  /** Further entries of the file's metadata. */
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface Exported {
  readonly bytes: Uint8Array;
  /**
   * Hex SHA-256 of the parameters in the file (see `tensorsDigest`); also the metadata entry `lethe.parameters.sha256`. The entry
   * `lethe.parameters` is the JSON of their names, which tells them from other constants.
   */
  readonly parametersDigest: string;
  /**
   * The size of the first axis: `batch`, a name that stands for any size, where every operation treats each example on its own; else the
   * graph's, with the reason.
   */
  readonly batch: { readonly open: true } | { readonly open: false; readonly reason: string };
}

/**
 * @param outputs results by the names they get; what they do not depend on is left out, so the labels and the loss of a training
 * graph do not follow
 * @param parameters values of all parameters that the outputs use, by name; others are ignored
 * @throws LETHE-3029 a parameter has no value or another shape, or an operator is not of the standard
 * @example const { bytes } = exportOnnx({ logits }, step.parameters());
 */
export function exportOnnx(
  outputs: Readonly<Record<string, Value>>,
  parameters: Readonly<Record<string, Tensor>>,
  { documentation, metadata = {} }: ExportOptions = {},
): Exported {
  const order = ancestors(Object.values(outputs), (value) =>
    value.source.kind === 'composite' ? [value.source.body] : value.inputs,
  );
  const batch = openBatch(order);
  const open = 'sizes' in batch ? batch : undefined;
  const writer = new Writer(open?.sizes);
  const used: Record<string, Tensor> = {};
  const inputs: WrittenPort[] = [];
  for (const value of order) {
    const { source, name } = value;
    if (source.kind === 'constant') writer.constant(name, source.tensor);
    else if (source.kind === 'operator') writer.operator(value, source);
    else if (source.kind === 'input' && source.role !== 'parameter') inputs.push(portOf(value, name, open));
    else if (source.kind === 'input') {
      const given = Object.hasOwn(parameters, name) ? parameters[name] : undefined;
      if (!given || given.dtype !== value.dtype || !sameShape(given.shape, value.shape)) {
        const found = given ? `${given.dtype} ${shapeText(given.shape)}` : 'missing';
        throw GRAPH.ONNX_NOT_EXPORTED(
          `parameter ${name} is ${found}, the graph's is ${value.dtype} ${shapeText(value.shape)}`,
          { details: { name } },
        );
      }
      used[name] = given;
      writer.constant(name, given);
    }
  }
  for (const [name, value] of Object.entries(outputs)) {
    writer.add({ type: 'Identity', domain: '', inputs: [resolved(value)], output: name, attributes: {} });
  }
  const parametersDigest = hex(tensorsDigest(used));
  // A shape that was opened replaces the constant of the graph.
  const read = new Set(writer.nodes.flatMap((node) => node.inputs));
  const graph = {
    inputs,
    outputs: Object.entries(outputs).map(([name, value]) => portOf(value, name, open)),
    constants: writer.constants.filter(({ name }) => read.has(name)),
    nodes: writer.nodes,
  };
  const bytes = encodeModel(graph, {
    domains: [],
    metadata: {
      'lethe.parameters': JSON.stringify(Object.keys(used)),
      'lethe.parameters.sha256': parametersDigest,
      ...metadata,
    },
    ...(documentation === undefined ? {} : { documentation }),
  });
  return {
    bytes,
    parametersDigest,
    batch: 'reason' in batch ? { open: false, reason: batch.reason } : { open: true },
  };
}

const resolved = (value: Value): string =>
  value.source.kind === 'composite' ? resolved(value.source.body) : value.name;

function portOf(value: Value, name: string, open: Open | undefined): WrittenPort {
  const { dtype, shape } = value;
  if (!open?.carrying.has(value)) return { name, dtype, shape };
  // Several rows for each example have no name in ONNX: the axis is left without a size.
  return { name, dtype, shape: [shape[0] === open.examples ? 'batch' : undefined, ...shape.slice(1)] };
}

/** Nodes and constants of the file; operators that only ONNX Runtime knows are rewritten. */
class Writer {
  readonly nodes: OnnxNode[] = [];
  readonly constants: { readonly name: string; readonly tensor: Tensor }[] = [];
  /** Shapes that hold for any number of examples, in place of the second inputs of Reshape and Expand. */
  readonly #sizes: ReadonlyMap<Value, Shape> | undefined;

  constructor(sizes: ReadonlyMap<Value, Shape> | undefined) {
    this.#sizes = sizes;
  }

  add(node: OnnxNode): void {
    this.nodes.push(node);
  }

  constant(name: string, value: Tensor): void {
    this.constants.push({ name, tensor: value });
  }

  operator(value: Value, source: { readonly type: string; readonly domain: string }): void {
    const inputs = value.inputs.map(resolved);
    const sizes = this.#sizes?.get(value);
    if (sizes) {
      inputs[1] = `${value.name}.shape`;
      this.constant(inputs[1], tensor('int64', [sizes.length], BigInt64Array.from(sizes, BigInt)));
    }
    if (source.type === 'FusedMatMul') {
      this.#product(value, inputs);
      return;
    }
    if (source.domain !== '') {
      throw GRAPH.ONNX_NOT_EXPORTED(`${source.type} of ${source.domain} is no standard operator`, {
        details: { operator: source.type },
      });
    }
    this.add({
      type: source.type,
      domain: '',
      inputs,
      output: value.name,
      attributes: value.attributes,
    });
  }

  /** FusedMatMul as Transpose, MatMul and Mul. */
  #product(value: Value, inputs: readonly string[]): void {
    const { transA, transB, alpha } = transposed(value);
    const { name, shape, dtype } = value;
    const rank = shape.length;
    const perm = shape.map((_, axis) => axis);
    [perm[rank - 2], perm[rank - 1]] = [rank - 1, rank - 2];
    const operands = [transA, transB].map((flag, i) => {
      const input = inputs[i]!;
      if (!flag) return input;
      const output = `${name}.operand${i}`;
      this.add({
        type: 'Transpose',
        domain: '',
        inputs: [input],
        output,
        attributes: { perm: { ints: perm } },
      });
      return output;
    });
    const product = alpha === 1 ? name : `${name}.product`;
    this.add({ type: 'MatMul', domain: '', inputs: operands, output: product, attributes: {} });
    if (alpha === 1) return;
    const factor = `${name}.factor`;
    const data = dtype === 'float64' ? Float64Array.of(alpha) : Float32Array.of(alpha);
    this.constant(factor, tensor(dtype, [], data));
    this.add({ type: 'Mul', domain: '', inputs: [product, factor], output: name, attributes: {} });
  }
}

interface Open {
  readonly examples: number;
  /** Values with a row, or several, for each example. */
  readonly carrying: ReadonlySet<Value>;
  readonly sizes: ReadonlyMap<Value, Shape>;
}

/** Operators whose meaning does not depend on the number of examples once their constants do not. */
const FREE: ReadonlySet<string> = new Set([
  ...[
    'Add',
    'Sub',
    'Mul',
    'Div',
    'Min',
    'Max',
    'Less',
    'Greater',
    'GreaterOrEqual',
    'Equal',
    'Where',
    'Neg',
    'Abs',
    'Sign',
  ],
  ...[
    'Reciprocal',
    'Erf',
    'Round',
    'Sqrt',
    'Exp',
    'Log',
    'Relu',
    'Tanh',
    'Sigmoid',
    'Identity',
    'Softmax',
    'LogSoftmax',
    'Cast',
  ],
  ...[
    'ReduceSum',
    'ReduceMean',
    'ReduceMax',
    'ReduceSumSquare',
    'Transpose',
    'Gemm',
    'MatMul',
    'FusedMatMul',
    'Gather',
  ],
  ...[
    'Reshape',
    'Expand',
    'Slice',
    'Concat',
    'Pad',
    'Conv',
    'MaxPool',
    'AveragePool',
    'GlobalAveragePool',
    'GlobalMaxPool',
  ],
  ...['Clip', 'LeakyRelu', 'Elu', 'HardSwish', 'HardSigmoid', 'Softplus'],
]);

/**
 * Whether the forward pass holds for any number of examples. Every operation has to treat each example on its own (its `mixes` rule, with
 * one subject an example), and no constant may be as long as the batch; then only the shapes given to Reshape and Expand name it.
 */
function openBatch(order: readonly Value[]): Open | { readonly reason: string } {
  const isExamples = ({ source }: Value): boolean => source.kind === 'input' && source.role === 'examples';
  const counts = new Set(order.filter(isExamples).map(({ shape }) => shape[0] ?? 0));
  const [examples = 0] = counts;
  if (counts.size !== 1) return { reason: 'the inputs do not count the same examples' };
  // With one example a size of 1 could be anything.
  if (examples < 2) return { reason: 'the graph was built for one example: build it for two or more' };
  const carrying = new Set<Value>();
  const sizes = new Map<Value, Shape>();
  for (const value of order) {
    const { source, shape, inputs } = value;
    const body = source.kind === 'composite' ? source.body : undefined;
    const depends = inputs.map((input) => carrying.has(input));
    if (isExamples(value) || (body && carrying.has(body))) carrying.add(value);
    if (body || !depends.includes(true)) continue;
    carrying.add(value);
    const type = source.kind === 'operator' ? source.type : value.op;
    const rows = shape[0] ?? 1;
    const because = (reason: string): { readonly reason: string } => ({
      reason: `${value.name} (${type}) ${reason}`,
    });
    const mixed = ruleOf(value).mixes(value, depends, examples);
    if (mixed) return because(mixed);
    if (!FREE.has(type) || rows % examples !== 0 || shape.length === 0) {
      return because('does not keep a row for each example');
    }
    const long = inputs.some(
      (input, i) =>
        !depends[i] &&
        input.shape.length === shape.length &&
        input.shape[0] === rows &&
        !(type === 'Gemm' && i < 2),
    );
    if (long && type !== 'Gather') return because('takes a constant that is as long as the batch');
    if (type === 'Reshape') sizes.set(value, [-1, ...shape.slice(1)]);
    if (type === 'Expand') {
      if (!sameShape([inputs[0]!.shape[0] ?? 0, shape.length], [rows, inputs[0]!.shape.length])) {
        return because('repeats examples');
      }
      sizes.set(value, [1, ...shape.slice(1)]);
    }
    const second = knownIntegers(inputs[1]);
    if (type === 'Gather' && depends[0] && axisZero(value)) return because('picks examples');
    if (type === 'Reshape' && (!second || shape.slice(1).includes(0))) return because('has an empty axis');
  }
  return { examples, carrying, sizes };
}

const axisZero = ({ attributes: { axis } }: Value): boolean => !axis || ('int' in axis && axis.int === 0);
