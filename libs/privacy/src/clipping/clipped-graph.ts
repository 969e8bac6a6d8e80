import {
  clippedGradientSum,
  GraphBuilder,
  type MlpSpec,
  type Model,
  mlp,
  mul,
  reshape,
  softmaxCrossEntropy,
} from '@lethe/graph';
import { assert } from '@lethe/std';
import { float32, type Tensor, tensor } from '@lethe/tensor';
import type { ClippedStep } from './bounded-sum.ts';

/** Shape of one call of the clipping graph: fixed, so that the graph is compiled once and the draw's size does not show in it. */
export interface ClippedGraphSpec {
  readonly model: MlpSpec;
  /** Subjects in a call; a shorter list is padded. */
  readonly subjectsPerChunk: number;
  /** Most rows a subject may have; fewer are padded. */
  readonly rowsPerSubject: number;
}

/**
 * Forward, backward and exact per-subject clipping of a classifier in one graph.
 * Inputs: `x` [s, m, p], `labels` int64 [s m], `mask` [s m] with 1 for a row that is there, `l2ClipNorm` [], and the parameters.
 * Outputs: for each parameter `name` its sum `name.clippedSum`; norms and factors stay inside, they are sensitive.
 * A subject's loss is the sum of the cross-entropies of its rows.
 */
export function clippedGradientGraph({ model, subjectsPerChunk, rowsPerSubject }: ClippedGraphSpec): Model {
  const rows = subjectsPerChunk * rowsPerSubject;
  const features = model.widths[0]!;
  const graph = new GraphBuilder();
  const x = graph.examples('x', [subjectsPerChunk, rowsPerSubject, features]);
  const labels = graph.examples('labels', [rows], 'int64');
  const mask = graph.examples('mask', [rows]);
  const l2ClipNorm = graph.shared('l2ClipNorm', []);
  const { logits, parameters } = mlp(reshape(x, [rows, features]), model);
  const losses = mul(softmaxCrossEntropy(logits, labels), mask);
  const { sums } = clippedGradientSum(losses, parameters, { subjects: subjectsPerChunk, l2ClipNorm });
  for (const [i, sum] of sums.entries()) graph.output(`${parameters[i]!.name}.clippedSum`, sum);
  return graph.build();
}

/** Runs a built graph; `@lethe/runtime` gives one that runs on ONNX Runtime. */
export type GraphRun = (feeds: Readonly<Record<string, Tensor>>) => Promise<Readonly<Record<string, Tensor>>>;

/** One subject's rows: features row-major [rows, p], one label each. */
export interface SubjectRows {
  readonly features: Float32Array;
  readonly labels: readonly number[];
}

/** Named parameter tensors, in the model's order. */
export type ModelParameters = Readonly<Record<string, Tensor<'float32'>>>;

/**
 * The clipping graph as a `ClippedStep` over subjects held in memory. Rows beyond `rowsPerSubject` are not used: the first ones count.
 * Not re-entrant: the input tensors are filled in place.
 */
export function graphClippedStep(
  spec: ClippedGraphSpec,
  run: GraphRun,
  rowsOf: (subject: number) => SubjectRows,
): ClippedStep<ModelParameters> {
  const { subjectsPerChunk: s, rowsPerSubject: m } = spec;
  const p = spec.model.widths[0]!;
  const x = new Float32Array(s * m * p);
  const labels = new BigInt64Array(s * m);
  const mask = new Float32Array(s * m);
  return {
    async clippedSum(parameters, subjects, l2ClipNorm) {
      assert(subjects.length <= s, `${subjects.length} subjects do not fit into a chunk of ${s}`);
      x.fill(0);
      labels.fill(0n);
      mask.fill(0);
      subjects.forEach((subject, at) => {
        const rows = rowsOf(subject);
        const count = Math.min(m, rows.labels.length);
        x.set(rows.features.subarray(0, count * p), at * m * p);
        for (let r = 0; r < count; r++) labels[at * m + r] = BigInt(rows.labels[r]!);
        mask.fill(1, at * m, at * m + count);
      });
      const outputs = await run({
        ...parameters,
        x: float32([s, m, p], x),
        labels: tensor('int64', [s * m], labels),
        mask: float32([s * m], mask),
        l2ClipNorm: float32([], Float32Array.of(l2ClipNorm)),
      });
      return Object.keys(parameters).map((name) => outputs[`${name}.clippedSum`]!.data as Float32Array);
    },
  };
}
