import type { Model, OnnxPort } from '@lethe/graph';
import { elements, sameShape, shapeText, type Tensor, tensor, zeros } from '@lethe/tensor';
import * as ort from 'onnxruntime-node';
import { RUNTIME } from './errors.ts';
import { type ExecutionProvider, requireProvider } from './execution-provider.ts';

export interface SessionOptions {
  /** Threads inside one operator, 1 when absent. Digests may depend on it: it is part of the fingerprint. */
  readonly threads?: number;
  /** Where operators run, `cpu` when absent. Part of the fingerprint: digests of one are not those of the other. */
  readonly executionProvider?: ExecutionProvider;
  /**
   * Equal bytes in give equal bytes out, over runs and processes with an equal fingerprint (proved by digest in determinism.test.ts). One
   * thread on the CPU, operators one after the other, always the same optimisation level: the defaults have all that, and nothing here
   * turns it off but `threads` and `executionProvider`. To ask for it is to have those two refused where they would break it.
   */
  readonly deterministic?: boolean;
}

export type Tensors = Readonly<Record<string, Tensor>>;

/** The runtime's view of a tensor: the same memory. */
const view = (value: Tensor): ort.Tensor =>
  value.dtype === 'bool'
    ? new ort.Tensor('bool', value.data as Uint8Array, value.shape)
    : new ort.Tensor(value.dtype, value.data as Float32Array, value.shape);

/** A loaded model. Runs are sequential: one at a time for a session. */
export class Session {
  readonly inputs: readonly OnnxPort[];
  readonly outputs: readonly OnnxPort[];
  #session: ort.InferenceSession | undefined;

  private constructor(model: Model, session: ort.InferenceSession) {
    this.inputs = model.inputs;
    this.outputs = model.outputs;
    this.#session = session;
  }

  /**
   * @throws LETHE-3061 the runtime refuses the graph; LETHE-3066 it lacks the execution provider; LETHE-3067 the options are not those of a
   * deterministic session
   */
  static async create(model: Model, options: SessionOptions = {}): Promise<Session> {
    const { threads = 1, executionProvider = 'cpu', deterministic = false } = options;
    if (deterministic && (threads !== 1 || executionProvider !== 'cpu')) {
      throw RUNTIME.NOT_DETERMINISTIC(
        `${threads} threads on ${executionProvider} do not sum in a fixed order: a deterministic session has one thread on the CPU`,
        { details: { threads, executionProvider } },
      );
    }
    await requireProvider(executionProvider);
    try {
      const session = await ort.InferenceSession.create(model.bytes, {
        executionProviders: [executionProvider],
        intraOpNumThreads: threads,
        interOpNumThreads: 1,
        executionMode: 'sequential',
        graphOptimizationLevel: 'all',
        logSeverityLevel: 3,
      });
      return new Session(model, session);
    } catch (cause) {
      throw RUNTIME.MODEL_REFUSED('the runtime refused the graph', { cause });
    }
  }

  /**
   * Runs the model once into fresh tensors.
   * @throws LETHE-3060 an input is missing, unknown or of another dtype or shape; LETHE-3062; LETHE-3064
   */
  async run(feeds: Tensors): Promise<Record<string, Tensor>> {
    const fetches: Record<string, Tensor> = {};
    for (const { name, dtype, shape } of this.outputs) fetches[name] = zeros(dtype, shape);
    await this.runInto(feeds, fetches);
    return fetches;
  }

  /**
   * Runs the model once into the tensors of `fetches`, without allocating. An input and an output must not share memory.
   * @throws as `run`
   */
  async runInto(feeds: Tensors, fetches: Tensors): Promise<void> {
    if (!this.#session) throw RUNTIME.CLOSED('the session is closed');
    checkPorts('input', this.inputs, feeds);
    checkPorts('output', this.outputs, fetches);
    const views = (tensors: Tensors): Record<string, ort.Tensor> =>
      Object.fromEntries(Object.entries(tensors).map(([name, value]) => [name, view(value)]));
    try {
      await this.#session.run(views(feeds), views(fetches));
    } catch (cause) {
      throw RUNTIME.RUN_FAILED('the runtime failed in a run', { cause });
    }
  }

  /** Frees the runtime's memory; closing twice is harmless. */
  async close(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    await session?.release();
  }
}

function checkPorts(kind: string, ports: readonly OnnxPort[], tensors: Tensors): void {
  for (const port of ports) {
    const given = Object.hasOwn(tensors, port.name) ? tensors[port.name] : undefined;
    const expected = `${port.dtype} ${shapeText(port.shape)}`;
    const details = { name: port.name, expected };
    if (!given) throw RUNTIME.INPUT_MISMATCH(`${kind} ${port.name} (${expected}) is missing`, { details });
    if (given.dtype !== port.dtype || !sameShape(given.shape, port.shape)) {
      throw RUNTIME.INPUT_MISMATCH(
        `${kind} ${port.name} is ${given.dtype} ${shapeText(given.shape)}, not ${expected}`,
        { details },
      );
    }
    if (given.data.length !== elements(port.shape)) tensor(given.dtype, given.shape, given.data, port.name);
  }
  for (const name of Object.keys(tensors)) {
    if (!ports.some((port) => port.name === name)) {
      throw RUNTIME.INPUT_MISMATCH(`the model has no ${kind} ${name}`, { details: { name } });
    }
  }
}
