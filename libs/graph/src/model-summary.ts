import { LetheError } from '@lethe/std';
import { type DType, elements, type Shape } from '@lethe/tensor';
import { ancestors, GraphBuilder, type Value } from './builder.ts';
import { type Imported, importOnnx } from './onnx-import.ts';
import {
  bitsOf,
  type Dimension,
  dtypeOf,
  type ReadModel,
  type ReadPort,
  type StoredTensor,
} from './onnx-read.ts';
import { add, reduceSum, reshape } from './ops.ts';
import { explainPerExample } from './per-example.ts';

/** What a person wants to know about a model file before training it: layers, sizes, memory, and how each norm would be had. */
export interface ModelSummary {
  readonly producer: string;
  readonly documentation: string;
  readonly opsets: Readonly<Record<string, number>>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly inputs: readonly PortSummary[];
  readonly outputs: readonly PortSummary[];
  /** How often each operator occurs; those of other domains as `domain.Operator`. */
  readonly operators: Readonly<Record<string, number>>;
  /** Elements and bytes of all floating-point initializers. */
  readonly parameters: { readonly count: number; readonly bytes: number };
  readonly layers: readonly LayerSummary[];
  /** Present where the graph could be built; else `notBuilt` says why. */
  readonly run?: RunSummary;
  readonly notBuilt?: string;
}

export interface PortSummary {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly Dimension[] | undefined;
}

/** A node with parameters. */
export interface LayerSummary {
  readonly name: string;
  readonly operator: string;
  readonly parameters: readonly ParameterSummary[];
  /** Of the result, where the graph could be built. */
  readonly shape?: Shape;
}

export interface ParameterSummary {
  readonly name: string;
  readonly shape: Shape;
  readonly bytes: number;
  /** How a subject's gradient norm would be had in private training, or `refused`, and why. Absent where the graph could not be built. */
  readonly norm?: { readonly rule: 'ghost' | 'instantiated' | 'refused'; readonly reason: string };
}

export interface RunSummary {
  /** Examples that the figures are for. */
  readonly batch: number;
  /** Bytes of all results of operators: what a backward pass could keep at most, without the parameters. */
  readonly activationBytes: number;
  readonly largest: { readonly name: string; readonly bytes: number };
  /** Operators that are run as they stand and have no gradient here. */
  readonly opaque: Readonly<Record<string, number>>;
}

const BYTES: Readonly<Record<DType, number>> = { float32: 4, float64: 8, int64: 8, bool: 1 };

/** Examples of one run: how a norm would be had is asked with a number for each of them. */
const BATCH_MAX = 2 ** 22;

/**
 * @param batch examples of one run; the file's own number where it is fixed @returns the same for the same file
 */
export function summarizeModel(
  model: ReadModel,
  { batch = 32 }: { readonly batch?: number } = {},
): ModelSummary {
  const { graph, producer, documentation, opsets, metadata } = model;
  const learned = graph.initializers.filter(isLearned(metadata));
  const stored = new Map(learned.map((tensor) => [tensor.name, tensor]));
  const operators = counted(
    graph.nodes.map(({ domain, type }) => (domain === '' ? type : `${domain}.${type}`)),
  );
  const built = build(model, batch, (name) => stored.has(name));
  const norms = 'reason' in built ? new Map() : normsOf(built);
  const layers = graph.nodes.flatMap((node): LayerSummary[] => {
    const own = node.inputs.flatMap((name) => stored.get(name) ?? []);
    const shape = 'reason' in built ? undefined : built.values.get(node.outputs[0] ?? '')?.shape;
    if (own.length === 0) return [];
    return [
      {
        name: layerName(node.name, own),
        operator: node.type,
        parameters: own.map((tensor) => {
          const norm = norms.get(tensor.name);
          const { name, data } = tensor;
          return { name, shape: tensor.shape, bytes: data.length, ...(norm ? { norm } : {}) };
        }),
        ...(shape ? { shape } : {}),
      },
    ];
  });
  const inputs = graph.inputs.filter(
    ({ name }) => !graph.initializers.some((tensor) => tensor.name === name),
  );
  const all = [...stored.values()];
  return {
    producer,
    documentation,
    opsets: { ...opsets },
    metadata: { ...metadata },
    inputs: inputs.map(portSummary),
    outputs: graph.outputs.map(portSummary),
    operators,
    parameters: {
      count: all.reduce((sum, { shape }) => sum + elements(shape), 0),
      bytes: all.reduce((sum, { data }) => sum + data.length, 0),
    },
    layers,
    ...('reason' in built ? { notBuilt: built.reason } : { run: runSummary(built) }),
  };
}

/** Floats with axes, of any width; a file of ours names its parameters, which tells them from masks and the like. */
function isLearned(metadata: Readonly<Record<string, string>>): (tensor: StoredTensor) => boolean {
  const ours = namesIn(metadata['lethe.parameters']);
  return ({ name, element, shape }) =>
    /float/.test(element) && bitsOf(element) >= 16 && shape.length > 0 && (!ours || ours.has(name));
}

function namesIn(json: string | undefined): ReadonlySet<unknown> | undefined {
  if (json === undefined) return undefined;
  try {
    const names: unknown = JSON.parse(json);
    return Array.isArray(names) ? new Set(names) : undefined;
  } catch {
    return undefined;
  }
}

const portSummary = ({ name, element, shape }: ReadPort): PortSummary => ({
  name,
  dtype: element ?? 'unknown',
  shape,
});

function counted(names: readonly string[]): Record<string, number> {
  const counts = new Map<string, number>();
  for (const name of names.toSorted()) counts.set(name, (counts.get(name) ?? 0) + 1);
  // A file may name an operator as it likes; of these members none is looked up, and `__proto__` becomes one like any other.
  return Object.fromEntries(counts);
}

/** The scope that the parameters share, else the name of the node. */
function layerName(node: string, own: readonly StoredTensor[]): string {
  const scopes = new Set(own.map(({ name }) => name.replace(/[./][^./]*$/, '')));
  const [scope] = scopes;
  return scopes.size === 1 && scope !== undefined && scope !== own[0]!.name ? scope : node || own[0]!.name;
}

interface Built extends Imported {
  readonly graph: GraphBuilder;
  readonly batch: number;
}

function build(
  model: ReadModel,
  batch: number,
  trainable: (name: string) => boolean,
): Built | { readonly reason: string } {
  const graph = new GraphBuilder();
  try {
    const isFloat = (name: string): boolean => {
      const dtype = dtypeOf(model.graph.initializers.find((tensor) => tensor.name === name)?.element);
      return trainable(name) && (dtype === 'float32' || dtype === 'float64');
    };
    const imported = importOnnx(graph, model, { batch, trainable: isFloat, untrainable: 'allowed' });
    const rows = Object.values(imported.inputs)[0]?.shape[0] ?? batch;
    return rows <= BATCH_MAX
      ? { ...imported, graph, batch: rows }
      : { reason: `a run of ${rows} examples is more than the ${BATCH_MAX} that are looked at` };
  } catch (error) {
    if (error instanceof LetheError) return { reason: error.message };
    throw error;
  }
}

type Norm = NonNullable<ParameterSummary['norm']>;

/** Asks the per-example rules, with the sum of an example's outputs in place of its loss and one example a subject. */
function normsOf({ outputs, parameters, initial, batch, opaque }: Built): Map<string, Norm> {
  const found = new Map<string, Norm>();
  const results = Object.values(outputs).filter(
    ({ dtype, shape }) => /^float/.test(dtype) && (shape[0] ?? 1) % batch === 0 && shape.length > 0,
  );
  const losses = results.map((value) =>
    reduceSum(reshape(value, [batch, elements(value.shape) / batch]), [1]),
  );
  const [loss] = losses.length > 0 ? [losses.reduce((sum, next) => add(sum, next))] : [];
  const ask = (some: readonly Value[]): void => {
    if (!loss) return;
    for (const { parameter, rule, reason } of explainPerExample(loss, some, { subjects: batch })) {
      found.set(parameter, { rule, reason });
    }
  };
  const named = Object.keys(initial);
  try {
    ask(parameters);
  } catch {
    // One refusal must not hide the rules of the others.
    parameters.forEach((parameter, i) => {
      try {
        ask([parameter]);
      } catch (error) {
        if (!(error instanceof LetheError)) throw error;
        const hint =
          opaque.length > 0 && /^\[LETHE-3022\]/.test(error.message)
            ? ` (${Object.keys(counted(opaque.map(({ type }) => type))).join(', ')})`
            : '';
        found.set(named[i]!, {
          rule: 'refused',
          reason: `${error.message.replace(/^\[[^\]]*\] /, '')}${hint}`,
        });
      }
    });
  }
  return found;
}

function runSummary({ outputs, values, opaque, batch }: Built): RunSummary {
  const names = new Map([...values].map(([name, value]) => [value, name]));
  let activationBytes = 0;
  let largest = { name: '', bytes: 0 };
  const order = ancestors(Object.values(outputs), (value) =>
    value.source.kind === 'composite' ? [value.source.body] : value.inputs,
  );
  for (const value of order) {
    const { source, shape, dtype } = value;
    if (source.kind !== 'operator') continue;
    const bytes = elements(shape) * BYTES[dtype];
    activationBytes += bytes;
    if (bytes > largest.bytes) largest = { name: `${source.type} ${names.get(value) ?? value.name}`, bytes };
  }
  return { batch, activationBytes, largest, opaque: counted(opaque.map(({ type }) => type)) };
}
