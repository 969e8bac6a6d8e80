import { assert, bytesOf, hex, sha256 } from '@lethe/std';
import { type DataOf, type DType, elements, type Shape, type Tensor, tensor } from '@lethe/tensor';
import { GRAPH } from './errors.ts';
import { type Attribute, encodeModel, type OnnxNode, type OnnxPort } from './onnx.ts';

/**
 * Symbolic values with static shapes. A `Value` is one node of a graph: an input, a parameter, a constant, an ONNX operator,
 * or a *composite*, which stands for a sub-graph that has a gradient rule of its own (softmax cross-entropy, sign with a
 * straight-through gradient). Equal nodes are built once, so rules may write down what they need without a cache.
 */
export interface Value {
  readonly graph: GraphBuilder;
  readonly id: number;
  /** Row of the rule table. */
  readonly op: string;
  readonly inputs: readonly Value[];
  readonly attributes: Readonly<Record<string, Attribute>>;
  readonly shape: Shape;
  readonly dtype: DType;
  readonly name: string;
  /** The layers it was built in, outermost first, joined with dots; '' outside of any. */
  readonly scope: string;
  readonly source: Source;
}

/** What a value becomes in the ONNX graph. */
export type Source =
  | { readonly kind: 'input'; readonly role: InputRole }
  | { readonly kind: 'constant'; readonly tensor: Tensor }
  | { readonly kind: 'operator'; readonly type: string; readonly domain: string }
  | { readonly kind: 'composite'; readonly body: Value };

/**
 * `examples`: the first axis counts examples (or subjects); `parameter`: learned, shared by all examples; `shared`: any other
 * input that is the same for all examples (learning rate, noise, class targets).
 */
export type InputRole = 'examples' | 'parameter' | 'shared';

export interface Operator {
  readonly op: string;
  readonly type: string;
  readonly domain?: string;
  readonly inputs: readonly Value[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly shape: Shape;
  readonly dtype?: DType;
}

/** A graph's bytes and what goes in and comes out, in declaration order. */
export interface Model {
  readonly bytes: Uint8Array;
  readonly inputs: readonly OnnxPort[];
  readonly outputs: readonly OnnxPort[];
  /** Those of the inputs whose first axis counts examples: the only ones that may differ from person to person. */
  readonly examples: readonly string[];
}

export class GraphBuilder {
  readonly #values: Value[] = [];
  readonly #inputs: Value[] = [];
  readonly #known = new Map<string, Value>();
  readonly #outputs = new Map<string, Value>();
  #scope = '';

  /**
   * Builds a layer: parameters that `build` declares are named `name.…`, and a refusal of their shapes says where it arose.
   * Scopes nest.
   * @example g.scope('conv1', () => conv2d(x, g.parameter('w', [64, 16])))
   */
  scope<T>(name: string, build: () => T): T {
    const outer = this.#scope;
    this.#scope = this.scoped(name);
    try {
      return build();
    } finally {
      this.#scope = outer;
    }
  }

  /** A name within the current scope. */
  scoped(name: string): string {
    return this.#scope === '' ? name : `${this.#scope}.${name}`;
  }

  /** `message`, after the layer that is being built. */
  located(message: string): string {
    return this.#scope === '' ? message : `${this.#scope}: ${message}`;
  }

  /** An input whose first axis counts examples. */
  examples(name: string, shape: Shape, dtype: DType = 'float32'): Value {
    return this.#input('examples', name, shape, dtype);
  }

  /** A learned tensor. */
  parameter(name: string, shape: Shape, dtype: DType = 'float32'): Value {
    return this.#input('parameter', this.scoped(name), shape, dtype);
  }

  /** An input that is the same for all examples: learning rate, noise, targets. */
  shared(name: string, shape: Shape, dtype: DType = 'float32'): Value {
    return this.#input('shared', name, shape, dtype);
  }

  #input(role: InputRole, name: string, shape: Shape, dtype: DType): Value {
    if (this.#inputs.some((known) => known.name === name)) {
      throw GRAPH.NAME_TAKEN(`the graph has two inputs named ${name}`, { details: { name } });
    }
    const value = this.#add(
      { op: role, inputs: [], attributes: {}, shape, dtype, name },
      { kind: 'input', role },
    );
    this.#inputs.push(value);
    return value;
  }

  constant<T extends DType>(dtype: T, shape: Shape, data: DataOf[T]): Value {
    const content = elements(shape) <= 16 ? data.join(',') : hex(sha256(bytesOf(data)));
    return this.#once(`${dtype}|${shape.join(',')}|${content}`, () =>
      this.#add(
        { op: 'constant', inputs: [], attributes: {}, shape, dtype },
        { kind: 'constant', tensor: tensor(dtype, shape, data, 'constant') },
      ),
    );
  }

  /** A scalar constant of a float dtype. */
  number(value: number, dtype: DType = 'float32'): Value {
    return dtype === 'float64'
      ? this.constant('float64', [], Float64Array.of(value))
      : this.constant('float32', [], Float32Array.of(value));
  }

  /** One ONNX operator; an equal one that exists already is returned instead. */
  operator(spec: Operator): Value {
    const { op, type, inputs, shape, attributes = {}, domain = '' } = spec;
    const dtype = spec.dtype ?? inputs[0]!.dtype;
    for (const input of inputs) assert(input.graph === this, `${op} mixes values of two graphs`);
    const key = `${op}|${type}|${inputs.map((input) => input.id).join(',')}|${JSON.stringify(attributes)}|${shape.join(',')}|${dtype}`;
    return this.#once(key, () =>
      this.#add({ op, inputs, attributes, shape, dtype }, { kind: 'operator', type, domain }),
    );
  }

  /** Names a sub-graph so that the rule table can give it a gradient of its own; `attributes` are what that rule needs to know. */
  composite(
    op: string,
    inputs: readonly Value[],
    body: Value,
    attributes: Readonly<Record<string, Attribute>> = {},
  ): Value {
    const key = `${op}|${inputs.map((input) => input.id).join(',')}|${JSON.stringify(attributes)}|body${body.id}`;
    const { shape, dtype } = body;
    return this.#once(key, () =>
      this.#add({ op, inputs, attributes, shape, dtype }, { kind: 'composite', body }),
    );
  }

  #once(key: string, make: () => Value): Value {
    let value = this.#known.get(key);
    if (!value) {
      value = make();
      this.#known.set(key, value);
    }
    return value;
  }

  #add(
    part: Omit<Value, 'graph' | 'id' | 'source' | 'scope' | 'name'> & { name?: string },
    source: Source,
  ): Value {
    const id = this.#values.length;
    const name = part.name ?? this.scoped(`v${id}`);
    const value: Value = { ...part, graph: this, id, source, scope: this.#scope, name };
    this.#values.push(value);
    return value;
  }

  /** Declares a result of the graph. */
  output(name: string, value: Value): void {
    if (this.#outputs.has(name) || this.#inputs.some((known) => known.name === name)) {
      throw GRAPH.NAME_TAKEN(`the graph has two ports named ${name}`, { details: { name } });
    }
    this.#outputs.set(name, value);
  }

  /** The ONNX model of the declared outputs. Nodes and inputs that no output needs are left out. */
  build(): Model {
    const needed = ancestors([...this.#outputs.values()], (value) =>
      value.source.kind === 'composite' ? [value.source.body] : value.inputs,
    );
    const nodes: OnnxNode[] = [];
    const constants: { name: string; tensor: Tensor }[] = [];
    for (const value of needed) {
      const { source } = value;
      if (source.kind === 'constant') constants.push({ name: value.name, tensor: source.tensor });
      if (source.kind !== 'operator') continue;
      nodes.push({
        type: source.type,
        domain: source.domain,
        inputs: value.inputs.map(resolved),
        output: value.name,
        attributes: value.attributes,
      });
    }
    // A port's name is part of the caller's vocabulary, so each output is an Identity of its value; the runtime fuses it away.
    for (const [name, value] of this.#outputs) {
      nodes.push({ type: 'Identity', domain: '', inputs: [resolved(value)], output: name, attributes: {} });
    }
    const wanted = new Set(needed);
    const used = this.#inputs.filter((value) => wanted.has(value));
    const inputs = used.map(asPort);
    const examples = used.filter(({ op }) => op === 'examples').map(({ name }) => name);
    const outputs = [...this.#outputs].map(([name, value]) => ({ ...asPort(value), name }));
    return { bytes: encodeModel({ inputs, outputs, constants, nodes }), inputs, outputs, examples };
  }
}

const asPort = ({ name, dtype, shape }: Value): OnnxPort => ({ name, dtype, shape });

const resolved = (value: Value): string =>
  value.source.kind === 'composite' ? resolved(value.source.body) : value.name;

/** The values that `roots` depend on, roots included, each after its own dependencies. */
export function ancestors(
  roots: readonly Value[],
  dependencies: (value: Value) => readonly Value[] = (value) => value.inputs,
): Value[] {
  const seen = new Set<Value>();
  const order: Value[] = [];
  // A stack of our own: an imported chain may be deeper than calls can nest.
  const open: { readonly value: Value; readonly needs: readonly Value[]; next: number }[] = [];
  const enter = (value: Value): void => {
    if (seen.has(value)) return;
    seen.add(value);
    open.push({ value, needs: dependencies(value), next: 0 });
  };
  for (const root of roots) {
    enter(root);
    for (let top = open.at(-1); top; top = open.at(-1)) {
      const need = top.needs[top.next++];
      if (need) enter(need);
      else {
        order.push(top.value);
        open.pop();
      }
    }
  }
  return order;
}
