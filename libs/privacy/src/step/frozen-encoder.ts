import { GraphBuilder, importOnnx, type MlpSpec, mlp, readOnnx, reshape, type Value } from '@lethe/graph';
import { elements } from '@lethe/tensor';
import { PRIVACY } from '../errors.ts';
import { rowClassifier } from './mlp-model.ts';
import type { PrivateModel } from './private-model.ts';

export interface FrozenEncoderOptions {
  readonly classes: number;
  /** Widths of hidden layers between the features and the classes. Default: none. */
  readonly hidden?: readonly number[];
  readonly rowsPerUnit?: number;
  /** Value of the file that the head reads, an output or a layer in the middle. Default: the only output. */
  readonly features?: string;
}

/** A head over an encoder, as a model to train. */
export interface FrozenEncoder extends PrivateModel {
  /** The head; `initialWeights(head, random)` of @lethe/optim starts it. */
  readonly head: MlpSpec;
  /** Values of a row, for `rowUnits`: those of the encoder's input for one example. */
  readonly rowSize: number;
}

/**
 * A classifier on the features of an ONNX encoder that stays as it is: its weights are constants of the graph, and only the head is trained,
 * clipped and noised. The encoder must not have been fitted on the same records, or their influence on it is charged nowhere.
 *
 * The encoder is run in every step. Where all rows fit into memory it is cheaper to run it once, and to train `mlpModel` on its results.
 * @param bytes of the file; it has one input, float32, whose first axis counts examples
 * @throws LETHE-3026 to 3028 the file is not imported, with the node; LETHE-3307 it has not the one input or output
 */
export function frozenEncoderModel(bytes: Uint8Array, options: FrozenEncoderOptions): FrozenEncoder {
  const file = readOnnx(bytes);
  const stored = new Set(file.graph.initializers.map(({ name }) => name));
  const inputs = file.graph.inputs.filter(({ name }) => !stored.has(name));
  const [input] = inputs;
  const row = input?.shape?.slice(1);
  if (!input || inputs.length !== 1 || !row?.every((size) => typeof size === 'number')) {
    throw PRIVACY.PLAN_REFUSED(
      `the encoder has ${inputs.length} inputs, or leaves more open than the number of examples; it has to have one, [n, ...]`,
      { details: { field: 'encoder' } },
    );
  }
  const encode = (x: Value): Value => {
    const rows = x.shape[0]!;
    const { outputs, values } = importOnnx(x.graph, file, {
      inputs: { [input.name]: reshape(x, [rows, ...row]) },
    });
    const found = options.features === undefined ? Object.values(outputs) : [values.get(options.features)];
    const [features] = found;
    if (!features || found.length !== 1) {
      throw PRIVACY.PLAN_REFUSED(
        `features is ${options.features ?? 'not given'}; the encoder has the outputs ${Object.keys(outputs).join(', ')}`,
        { details: { field: 'features' } },
      );
    }
    return reshape(features, [rows, elements(features.shape) / rows]);
  };
  const rowSize = elements(row);
  // One graph for the width of the features: what cannot be imported is refused here.
  const width = encode(new GraphBuilder().examples('x', [2, rowSize])).shape[1]!;
  const head: MlpSpec = { widths: [width, ...(options.hidden ?? []), options.classes], activation: 'relu' };
  const model = rowClassifier(rowSize, options.rowsPerUnit ?? 1, (x) => mlp(encode(x), head));
  return { ...model, head, rowSize };
}
