import { GraphBuilder, type MlpSpec, type Model, mlp } from '@lethe/graph';
import { float32 } from '@lethe/tensor';
import { RUNTIME } from './errors.ts';
import { Session, type SessionOptions, type Tensors } from './session.ts';

/** The forward pass of a perceptron: `x` [rows, features] and the parameters in, `logits` [rows, classes] out. */
export function mlpForwardGraph(spec: MlpSpec, rows: number): Model {
  const g = new GraphBuilder();
  g.output('logits', mlp(g.examples('x', [rows, spec.widths[0]!]), spec).logits);
  return g.build();
}

export interface Predictor {
  /**
   * Logits of any number of rows, computed in batches of the graph's size (the last one padded with zeros).
   * @param parameters by name @param x [count, features] @returns [count, classes]
   * @throws LETHE-3060 x is not a whole number of rows, or a parameter is missing or misshapen
   */
  logits(parameters: Tensors, x: Float32Array): Promise<Float32Array>;
  close(): Promise<void>;
}

/** @param spec `rows`: rows of one run of the graph */
export async function buildPredictor(
  spec: { readonly model: MlpSpec; readonly rows: number } & SessionOptions,
): Promise<Predictor> {
  const { model, rows } = spec;
  const features = model.widths[0]!;
  const classes = model.widths.at(-1)!;
  const session = await Session.create(mlpForwardGraph(model, rows), spec);
  return {
    async logits(parameters, x) {
      if (x.length % features !== 0) {
        throw RUNTIME.INPUT_MISMATCH(`${x.length} values are not a whole number of rows of ${features}`);
      }
      const count = x.length / features;
      const out = new Float32Array(count * classes);
      for (let start = 0; start < count; start += rows) {
        const part = x.subarray(start * features, Math.min(count, start + rows) * features);
        const whole = part.length === rows * features;
        const batch = whole ? part : new Float32Array(rows * features);
        if (!whole) batch.set(part);
        const { logits } = await session.run({ ...parameters, x: float32([rows, features], batch) });
        const taken = Math.min(rows, count - start) * classes;
        out.set((logits!.data as Float32Array).subarray(0, taken), start * classes);
      }
      return out;
    },
    close: () => session.close(),
  };
}
