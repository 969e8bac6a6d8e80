import { LetheError } from '@lethe/std';
import { elements, type Shape, shapeText, type Tensor, tensor } from '@lethe/tensor';
import { ancestors, type GraphBuilder, type Value } from './builder.ts';
import { GRAPH } from './errors.ts';
import type { Attribute } from './onnx.ts';
import { type FoldNode, fold, knownIntegers } from './onnx-fold.ts';
import { OPAQUE, type ShapeAttributes } from './onnx-opaque.ts';
import { type ImportedNode, MICROSOFT, OPERATORS } from './onnx-operators.ts';
import {
  dtypeOf,
  type ReadAttribute,
  type ReadModel,
  type ReadNode,
  type ReadPort,
  readOnnx,
  requireSize,
  type StoredTensor,
  tensorOf,
} from './onnx-read.ts';
import { expand, reshape, transpose } from './ops.ts';

/**
 * Existing ONNX models as parts of a graph. Nodes become operations of this library, so that they can be trained and clipped as any
 * other; what has no operation here is run as it stands, as long as nothing before it is trained.
 */
export interface ImportOptions {
  /** Values in place of the model's inputs, by name. A missing input becomes `examples(name, …)` of the graph. */
  readonly inputs?: Readonly<Record<string, Value>>;
  /**
   * Which initializers become parameters; all others are constants. None when absent: a frozen encoder. Asked for float32 and float64 with
   * axes; integers are shapes and indices, a scalar is a constant of the program, and the statistics of a batch normalisation are not learned
   * by gradients.
   */
  readonly trainable?: (name: string) => boolean;
  /** Size of axes that the file leaves open and no given value determines. */
  readonly batch?: number;
  /**
   * Nodes without a gradient rule that depend on trained parameters: refused (when absent), or let stand, so that a gradient is refused
   * only when it is asked for. For looking at a model; a model that is to be trained should be refused at once.
   */
  readonly untrainable?: 'refused' | 'allowed';
}

export interface Imported {
  /** By the names of the file. */
  readonly inputs: Readonly<Record<string, Value>>;
  readonly outputs: Readonly<Record<string, Value>>;
  /** Every value of the file by its name there, to take the features of a layer in the middle. */
  readonly values: ReadonlyMap<string, Value>;
  /**
   * In the order of the file; names are those of the initializers (inside a scope of the builder, with its prefix). Weights of a trained
   * convolution have the layout of `conv2d`, [kh * kw * c, o]; all others have that of the file.
   */
  readonly parameters: readonly Value[];
  /** Values of the parameters, as the file has them, by the names of `parameters`. */
  readonly initial: Readonly<Record<string, Tensor>>;
  /** Nodes that are run as they stand: no gradient passes through them. */
  readonly opaque: readonly { readonly name: string; readonly type: string }[];
}

/** The operator set of the models that we write: what stands in them as it is has to mean the same there. */
const WRITTEN = 18;
/** Operator set versions that are read: broadcasting as numpy does begins with 7. */
const OPSETS = { first: 7, last: 25 };

const notImported = (
  what: string,
  details: Readonly<Record<string, string | number>>,
  cause?: unknown,
): Error => GRAPH.ONNX_NOT_IMPORTED(what, { details, ...(cause === undefined ? {} : { cause }) });

/**
 * Adds an ONNX model to a graph.
 * @param bytes of the file, or what `readOnnx` made of them
 * @throws LETHE-3026, LETHE-3027 as `readOnnx`; LETHE-3028 a node, an input or a version that is not imported, with the way out
 * @example
 * const encoder = importOnnx(g, bytes, { inputs: { pixels: g.examples('x', [64, 3, 32, 32]) } });
 * const logits = dense(encoder.outputs.features!, g.parameter('w', [512, 10]));
 */
export function importOnnx(
  graph: GraphBuilder,
  bytes: Uint8Array | ReadModel,
  options: ImportOptions = {},
): Imported {
  const model = bytes instanceof Uint8Array ? readOnnx(bytes) : bytes;
  const opset = model.opsets[''] ?? 0;
  if (opset < OPSETS.first || opset > OPSETS.last) {
    throw notImported(
      `the model uses operator set ${opset}, those from ${OPSETS.first} to ${OPSETS.last} are imported: convert its version`,
      { opset },
    );
  }
  return new Importer(graph, model, opset, options).run();
}

class Importer {
  readonly #graph: GraphBuilder;
  readonly #model: ReadModel;
  readonly #opset: number;
  readonly #options: ImportOptions;
  readonly #values = new Map<string, Value>();
  /** Sizes of symbolic axes, as the given inputs determine them. */
  readonly #sizes = new Map<string, number>();
  /** Values that a trained parameter reaches. */
  readonly #trained = new Set<Value>();
  /** Kernels that became parameters in the layout of `conv2d`, with their shapes in the file. */
  readonly #kernels = new Map<Value, Shape>();
  readonly #opaque: { readonly name: string; readonly type: string }[] = [];
  /** How often a value is read, to see which outputs of a node matter. */
  readonly #uses = new Map<string, number>();

  constructor(graph: GraphBuilder, model: ReadModel, opset: number, options: ImportOptions) {
    this.#graph = graph;
    this.#model = model;
    this.#opset = opset;
    this.#options = options;
  }

  run(): Imported {
    const { nodes, initializers, outputs } = this.#model.graph;
    for (const name of [...nodes.flatMap((node) => node.inputs), ...outputs.map((port) => port.name)]) {
      this.#uses.set(name, (this.#uses.get(name) ?? 0) + 1);
    }
    const inputs = this.#inputs();
    const parameters: Value[] = [];
    const initial = new Map<string, Tensor>();
    for (const stored of initializers) {
      if (!this.#uses.has(stored.name)) continue;
      const value = this.#initializer(stored);
      this.#values.set(stored.name, value);
      if (value.source.kind !== 'input') continue;
      parameters.push(value);
      const content = tensorOf(stored);
      initial.set(value.name, this.#kernels.has(value) ? kernelMatrix(content) : content);
      this.#trained.add(value);
    }
    const reached = (value: Value): boolean => ancestors([value]).some(isParameter);
    for (const value of Object.values(inputs)) if (reached(value)) this.#trained.add(value);
    for (const node of nodes) this.#node(node);
    const found = outputs.map(({ name }): [string, Value] => {
      const value = this.#values.get(name);
      if (!value) throw GRAPH.ONNX_MALFORMED(`no node computes the output ${name}`, { details: { name } });
      return [name, value];
    });
    const values: ReadonlyMap<string, Value> = this.#values;
    return {
      inputs,
      outputs: Object.fromEntries(found),
      values,
      parameters,
      initial: Object.fromEntries(initial),
      opaque: this.#opaque,
    };
  }

  #inputs(): Record<string, Value> {
    const { inputs, initializers } = this.#model.graph;
    const stored = new Set(initializers.map(({ name }) => name));
    const ports = inputs.filter(({ name }) => !stored.has(name));
    const given = this.#options.inputs ?? {};
    for (const name of Object.keys(given)) {
      if (!ports.some((port) => port.name === name)) {
        throw notImported(
          `the model has no input ${name}; it has ${ports.map((port) => port.name).join(', ')}`,
          { name },
        );
      }
    }
    const found = new Map<string, Value>();
    for (const port of ports) {
      const { name, shape } = port;
      const dtype = dtypeOf(port.element);
      if (!dtype)
        throw notImported(
          `input ${name} is ${port.element ?? 'no tensor'}: give the model tensors of a dtype`,
          { name },
        );
      const value = Object.hasOwn(given, name) ? given[name] : undefined;
      if (value) this.#unify(port, value);
      else if (!shape) throw notImported(`input ${name} has no shape in the file: give it a value`, { name });
      const input = value ?? this.#graph.examples(name, this.#static(port), dtype);
      if (input.dtype !== dtype) {
        throw notImported(`input ${name} is ${input.dtype}, the model takes ${dtype}`, { name });
      }
      found.set(name, input);
      this.#values.set(name, input);
    }
    return Object.fromEntries(found);
  }

  /** Takes the sizes of symbolic axes from a value that was given. */
  #unify({ name, shape }: ReadPort, value: Value): void {
    if (!shape) return;
    const fits =
      shape.length === value.shape.length &&
      shape.every((size, axis) => {
        const given = value.shape[axis]!;
        if (typeof size === 'number') return size === given;
        if (size === undefined) return true;
        const known = this.#sizes.get(size);
        this.#sizes.set(size, known ?? given);
        return known === undefined || known === given;
      });
    if (!fits) {
      const wanted = shape.map((size) => size ?? '?').join(', ');
      throw notImported(
        `input ${name} is ${shapeText(value.shape)}, the model takes [${wanted}]: give a value of that shape, or save the model with an open batch axis`,
        { name },
      );
    }
  }

  #static({ name, shape = [] }: ReadPort): Shape {
    const found = shape.map((size) => {
      const known = typeof size === 'number' ? size : (this.#sizes.get(size ?? '') ?? this.#options.batch);
      if (known === undefined) {
        throw notImported(
          `the size ${size ?? '?'} of input ${name} is open: give the option batch, or a value`,
          { name },
        );
      }
      if (typeof size === 'string') this.#sizes.set(size, known);
      return known;
    });
    requireSize(`input ${name}`, found);
    return found;
  }

  #initializer(stored: StoredTensor): Value {
    const value = tensorOf(stored);
    const isFloat = value.dtype === 'float32' || value.dtype === 'float64';
    const fixed = !isFloat || value.shape.length === 0 || this.#isStatistic(stored.name);
    if (fixed || !this.#options.trainable?.(stored.name)) {
      return this.#graph.constant(value.dtype, value.shape, value.data);
    }
    // Names of this form belong to the builder.
    const name = /^v\d+$/.test(stored.name) ? `${stored.name}_` : stored.name;
    if (!this.#isKernel(stored)) return this.#graph.parameter(name, value.shape, value.dtype);
    const kernel = this.#graph.parameter(name, kernelMatrix(value).shape, value.dtype);
    this.#kernels.set(kernel, value.shape);
    return kernel;
  }

  /** Mean or variance of a batch normalisation. */
  #isStatistic(name: string): boolean {
    return this.#model.graph.nodes.some(
      ({ type, inputs }) => type === 'BatchNormalization' && inputs.indexOf(name) >= 3,
    );
  }

  /** Weights that convolutions of pictures read, and nothing else does. */
  #isKernel({ name, shape }: StoredTensor): boolean {
    const users = this.#model.graph.nodes.filter(({ inputs }) => inputs.includes(name));
    const convolves = ({ type, domain, inputs, attributes: { group } }: ReadNode): boolean =>
      type === 'Conv' &&
      domain === '' &&
      inputs[1] === name &&
      (!group || ('int' in group && group.int === 1));
    return shape.length === 4 && users.every(convolves) && this.#uses.get(name) === users.length;
  }

  #kernel(value: Value): { readonly matrix: Value; readonly shape: Shape } {
    const shape = this.#kernels.get(value);
    if (shape) return { matrix: value, shape };
    const [o = 1] = value.shape;
    const matrix = reshape(transpose(value, [2, 3, 1, 0]), [elements(value.shape) / o, o]);
    return { matrix, shape: value.shape };
  }

  #node(node: ReadNode): void {
    const inputs = node.inputs.map((name) => {
      if (name === '') return undefined;
      const value = this.#values.get(name);
      if (!value)
        throw GRAPH.ONNX_MALFORMED(`${called(node)} reads ${name}, which nothing before it computes`);
      return value;
    });
    const refuse = (reason: string): never => {
      throw notImported(`${called(node)} is not imported: ${reason}`, {
        node: node.name,
        operator: node.type,
      });
    };
    try {
      const found =
        this.#folded(node, inputs) ??
        this.#mappedOrNot(node, inputs, refuse) ??
        this.#asItIs(node, inputs, refuse);
      const results = Array.isArray(found) ? (found as readonly Value[]) : [found as Value];
      if (inputs.some((input) => input && this.#trained.has(input))) {
        for (const value of results) this.#trained.add(value);
      }
      node.outputs.forEach((name, at) => {
        const value = results[at];
        if (value) this.#values.set(name, value);
        else if (this.#uses.has(name)) refuse(`its output ${at + 1} is used, which is not imported`);
      });
    } catch (error) {
      // What a constructor refuses becomes a refusal of the node that asked for it.
      if (!(error instanceof LetheError) || error.message.includes(called(node))) throw error;
      const reason = error.message.replace(/^\[[^\]]*\] /, '');
      throw notImported(
        `${called(node)} is not imported: ${reason}`,
        { node: node.name, operator: node.type },
        error,
      );
    }
  }

  /** Constants, and arithmetic of shapes. */
  #folded(node: ReadNode, inputs: readonly (Value | undefined)[]): Value | undefined {
    if (node.domain !== '') return undefined;
    const { value } = node.attributes;
    if (node.type === 'Constant') {
      const found = constantOf(node.attributes);
      return found && this.#graph.constant(found.dtype, found.shape, found.data);
    }
    if (node.type === 'ConstantOfShape') {
      const shape = knownIntegers(inputs[0])?.items;
      if (!shape) return undefined;
      const one =
        value && 'tensor' in value ? tensorOf(value.tensor) : tensor('float32', [1], new Float32Array(1));
      return filled(this.#graph, one, shape);
    }
    const int = (name: string): number | undefined => {
      const found = node.attributes[name];
      return found && 'int' in found ? found.int : undefined;
    };
    const ints = (name: string): readonly number[] | undefined => {
      const found = node.attributes[name];
      return found && 'ints' in found ? found.ints : undefined;
    };
    const foldNode: FoldNode = { type: node.type, inputs, int, ints };
    return fold(this.#graph, foldNode);
  }

  /** As `#mapped`; where a model is only looked at, a row's refusal is no end: the node is run as it stands. */
  #mappedOrNot(
    node: ReadNode,
    inputs: readonly (Value | undefined)[],
    refuse: (reason: string) => never,
  ): Value | readonly Value[] | undefined {
    try {
      return this.#mapped(node, inputs, refuse);
    } catch (error) {
      if (this.#options.untrainable !== 'allowed' || !(error instanceof LetheError)) throw error;
      return undefined;
    }
  }

  /** By the row of the operator; undefined where there is none. */
  #mapped(
    node: ReadNode,
    inputs: readonly (Value | undefined)[],
    refuse: (reason: string) => never,
  ): Value | readonly Value[] | undefined {
    const table = node.domain === '' ? OPERATORS : node.domain === 'com.microsoft' ? MICROSOFT : {};
    const row = Object.hasOwn(table, node.type) ? table[node.type] : undefined;
    if (!row || this.#model.functions.includes(node.type)) return undefined;
    const asked = new Set<string>();
    const read = <T>(name: string, get: (attribute: ReadAttribute) => T | undefined, otherwise: T): T => {
      asked.add(name);
      const attribute = node.attributes[name];
      if (!attribute) return otherwise;
      return get(attribute) ?? refuse(`its attribute ${name} is of another type than the operator's`);
    };
    const ints = (name: string): readonly number[] | undefined =>
      read<readonly number[] | undefined>(name, (a) => ('ints' in a ? a.ints : undefined), undefined);
    const view: ImportedNode = {
      graph: this.#graph,
      opset: this.#opset,
      inputs,
      outputs: node.outputs.length,
      input: (at) => inputs[at] ?? refuse(`it has no input ${at + 1}`),
      int: (name, otherwise) => read(name, (a) => ('int' in a ? a.int : undefined), otherwise),
      ints,
      float: (name, otherwise) => read(name, (a) => ('float' in a ? a.float : undefined), otherwise),
      string: (name, otherwise) => read(name, (a) => ('string' in a ? a.string : undefined), otherwise),
      isTrained: (value) => this.#trained.has(value),
      kernel: (at) => this.#kernel(inputs[at] ?? refuse(`it has no input ${at + 1}`)),
      integersOf: (name, at) => ints(name) ?? knownIntegers(inputs[at])?.items,
      refuse,
    };
    const found = row(view);
    if (found === undefined) return undefined;
    const unknown = Object.keys(node.attributes).filter((name) => !asked.has(name));
    if (unknown.length > 0) refuse(`its attribute ${unknown.join(', ')} is not known`);
    return found;
  }

  /** As one node of the same operator. */
  #asItIs(node: ReadNode, inputs: readonly (Value | undefined)[], refuse: (reason: string) => never): Value {
    const known = node.domain === '' && Object.hasOwn(OPAQUE, node.type) ? OPAQUE[node.type] : undefined;
    if (this.#model.functions.includes(node.type))
      refuse('it is a function of the model: inline the functions');
    const sameMeaning = known
      ? this.#opset >= known.since
      : node.domain === 'com.microsoft' || (node.domain === '' && this.#opset === WRITTEN);
    if (!sameMeaning) {
      refuse(
        node.domain === '' || node.domain === 'com.microsoft'
          ? `whether it means the same in operator set ${WRITTEN} is not known: convert the model to that version`
          : `its domain ${node.domain} is not the standard's`,
      );
    }
    const trained = node.inputs.filter((_, at) => inputs[at] && this.#trained.has(inputs[at]));
    if (trained.length > 0 && this.#options.untrainable !== 'allowed') {
      refuse(
        `it has no gradient rule here, and ${trained.join(', ')} depends on trained parameters: keep everything up to it frozen`,
      );
    }
    const used = node.outputs.filter((name) => this.#uses.has(name));
    if (used.some((name) => name !== node.outputs[0])) refuse('more than its first output is used');
    const last = inputs.findLastIndex((input) => input !== undefined);
    const operands = inputs
      .slice(0, last + 1)
      .map((input) => input ?? refuse('an input in the middle is left out'));
    const first = operands[0] ?? refuse('it has no inputs');
    const attributes: Record<string, Attribute> = {};
    for (const [name, attribute] of Object.entries(node.attributes)) {
      if ('tensor' in attribute || 'graph' in attribute || 'unread' in attribute) {
        refuse(`its attribute ${name} holds a tensor or a graph`);
      }
      attributes[name] = attribute;
    }
    const { shape, dtype } = this.#stated(node.outputs[0] ?? '');
    const inferred = known?.shape?.(
      operands.map((operand) => operand.shape),
      shapeAttributes(attributes),
    );
    const result =
      inferred ??
      shape ??
      refuse('the file does not state the shape of its result: run shape inference and save it');
    this.#opaque.push({ name: node.name, type: node.type });
    return this.#graph.operator({
      op: 'opaque',
      type: node.type,
      domain: node.domain,
      inputs: operands,
      attributes,
      shape: result,
      dtype: dtype ?? first.dtype,
    });
  }

  /** What the file says about a value in between. */
  #stated(name: string): { readonly shape: Shape | undefined; readonly dtype: Tensor['dtype'] | undefined } {
    const { values, outputs } = this.#model.graph;
    const port = [...values, ...outputs].find((item) => item.name === name);
    const sizes = port?.shape?.map((size) => (typeof size === 'number' ? size : this.#sizes.get(size ?? '')));
    const whole = sizes?.every((size) => size !== undefined) ? (sizes as number[]) : undefined;
    return { shape: whole, dtype: dtypeOf(port?.element) };
  }
}

const isParameter = ({ source }: Value): boolean => source.kind === 'input' && source.role === 'parameter';

/** Weights [o, c, kh, kw] as [kh * kw * c, o]. */
function kernelMatrix({ dtype, shape, data }: Tensor): Tensor {
  const [o, c, kh, kw] = shape as [number, number, number, number];
  const source = data as Float32Array | Float64Array;
  const out = source.slice();
  for (let to = 0; to < c; to++) {
    for (let at = 0; at < kh * kw; at++) {
      for (let from = 0; from < o; from++)
        out[(at * c + to) * o + from] = source[(from * c + to) * kh * kw + at]!;
    }
  }
  return tensor(dtype, [kh * kw * c, o], out);
}

const called = (node: ReadNode): string => `node ${node.name || node.outputs[0] || '?'} (${node.type})`;

const shapeAttributes = (attributes: Readonly<Record<string, Attribute>>): ShapeAttributes => ({
  int: (name, otherwise) => {
    const found = attributes[name];
    return found && 'int' in found ? found.int : otherwise;
  },
  ints: (name) => {
    const found = attributes[name];
    return found && 'ints' in found ? found.ints : undefined;
  },
  string: (name, otherwise) => {
    const found = attributes[name];
    return found && 'string' in found ? found.string : otherwise;
  },
});

/** One element repeated; small integers as numbers, so that arithmetic of shapes goes on with them. */
function filled(graph: GraphBuilder, one: Tensor, shape: Shape): Value {
  if (one.dtype === 'int64' && elements(shape) <= 4_096) {
    const data = new BigInt64Array(elements(shape)).fill((one.data as BigInt64Array)[0]!);
    return graph.constant('int64', shape, data);
  }
  return expand(graph.constant(one.dtype, [], one.data), shape);
}

/** The tensor of a Constant node. */
function constantOf(attributes: ReadNode['attributes']): Tensor | undefined {
  const { value, value_float, value_floats, value_int, value_ints } = attributes;
  if (value && 'tensor' in value) return tensorOf(value.tensor);
  if (value_float && 'float' in value_float) return tensor('float32', [], Float32Array.of(value_float.float));
  if (value_floats && 'floats' in value_floats) {
    return tensor('float32', [value_floats.floats.length], Float32Array.from(value_floats.floats));
  }
  if (value_int && 'int' in value_int) return tensor('int64', [], BigInt64Array.of(BigInt(value_int.int)));
  if (value_ints && 'ints' in value_ints) {
    return tensor('int64', [value_ints.ints.length], BigInt64Array.from(value_ints.ints, BigInt));
  }
  return undefined;
}
