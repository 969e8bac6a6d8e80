/**
 * Softmax regression by DP-SGD with the subject as unit. Rows are scaled to unit length, each by itself, and training starts from zero
 * weights: neither looks at another person. Everything after the noise (velocity, model, predictions) is post-processing.
 */

import type { MechanismSpec, PrivacyRandomness, SubjectRows } from '@lethe/privacy';
import { clippedGradientGraph, dpSgdStep, GaussianStream, graphClippedStep, heavyBall } from '@lethe/privacy';
import { Session } from '@lethe/runtime';
import { float32, type Tensor, zeros } from '@lethe/tensor';
import type { People } from './rows.ts';

export type SoftmaxWeights = Readonly<Record<string, Tensor<'float32'>>>;

/** Subjects in one run of the clipping graph: a schedule, without influence on the result's distribution. */
const SUBJECTS_PER_CHUNK = 128;

export const softmaxModel = (features: number, classes: number) =>
  ({ widths: [features, classes], activation: 'relu' }) as const;

export const zeroWeights = (features: number, classes: number): SoftmaxWeights => ({
  'dense0.w': zeros('float32', [features, classes]),
  'dense0.b': zeros('float32', [classes]),
});

/** Scales every row of [n, width] to length 1; a row of zeros stays. In a new array. */
export function unitRows(matrix: Float32Array, width: number): Float32Array {
  const out = new Float32Array(matrix.length);
  for (let at = 0; at < matrix.length; at += width) {
    let squared = 0;
    for (let i = at; i < at + width; i++) squared += matrix[i]! * matrix[i]!;
    const length = Math.sqrt(squared) || 1;
    for (let i = at; i < at + width; i++) out[i] = matrix[i]! / length;
  }
  return out;
}

/** Rows of each subject, scaled. @param width columns of the matrix */
export function subjectRows({ rows, members }: People, width: number): SubjectRows[] {
  const scaled = unitRows(rows.features, width);
  return members.map((member) => {
    const features = new Float32Array(member.rows.length * width);
    for (const [i, row] of member.rows.entries())
      features.set(scaled.subarray(row * width, (row + 1) * width), i * width);
    return { features, labels: member.rows.map((row) => Number(rows.labels[row])) };
  });
}

export interface DpTraining {
  readonly mechanism: MechanismSpec;
  readonly randomness: PrivacyRandomness;
  readonly subjects: readonly SubjectRows[];
  readonly rowsPerSubject: number;
  readonly features: number;
  readonly classes: number;
  readonly learningRate: number;
  readonly momentum: number;
  /** Divisor of the noisy sum; a public constant, see `expectedSubjects`. */
  readonly expectedSubjects: number;
}

export interface DpTrainer {
  /** Runs so many steps, which the caller has charged before. */
  run(weights: SoftmaxWeights, steps: number, onStep: () => void): Promise<SoftmaxWeights>;
  close(): Promise<void>;
}

export async function dpTrainer(training: DpTraining): Promise<DpTrainer> {
  const { features, classes, subjects, rowsPerSubject, mechanism, randomness } = training;
  const graphSpec = {
    model: softmaxModel(features, classes),
    subjectsPerChunk: SUBJECTS_PER_CHUNK,
    rowsPerSubject,
  };
  const session = await Session.create(clippedGradientGraph(graphSpec));
  const run = {
    spec: mechanism,
    execution: { subjectsPerChunk: SUBJECTS_PER_CHUNK, stepsPerReservation: mechanism.steps },
    randomness,
    noise: new GaussianStream(randomness),
    clippedStep: graphClippedStep(
      graphSpec,
      (feeds) => session.run(feeds),
      (subject) => subjects[subject]!,
    ),
    update: heavyBall(training.learningRate, training.momentum),
    population: subjects.length,
    expectedSubjects: training.expectedSubjects,
    shapes: [features * classes, classes],
  };
  return {
    async run(weights, steps, onStep) {
      let now = weights;
      for (let step = 0; step < steps; step++) {
        now = await dpSgdStep(run, now);
        onStep();
      }
      return now;
    },
    close: () => session.close(),
  };
}

/**
 * The divisor of DP-SGD's sum. Made of public numbers alone: the record count stands in the transparency log with the root, and
 * canaries are nobody. @returns at least 1
 */
export const expectedSubjects = (
  samplingProbability: number,
  publicRecords: number,
  rowsPerSubject: number,
): number => Math.max(1, (samplingProbability * publicRecords) / rowsPerSubject);

export const weightsOf = (tensors: Readonly<Record<string, Tensor>>): SoftmaxWeights =>
  Object.fromEntries(
    Object.entries(tensors).map(([name, { shape, data }]) => [name, float32(shape, data as Float32Array)]),
  );
