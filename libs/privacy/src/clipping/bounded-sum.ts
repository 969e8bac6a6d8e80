import { PRIVACY } from '../errors.ts';
import type { ExecutionOptions, MechanismSpec } from '../mechanism.ts';

/** The clipping graph behind a port: the model's forward, backward and per-subject clipping in one run. */
export interface ClippedStep<Parameters> {
  /**
   * Sum over the listed subjects of their gradients, each first scaled to an L2 norm of at most `l2ClipNorm` over all parameters together.
   * A subject whose gradient is not finite contributes zero. The implementation pads a short list and masks the padding.
   * @param subjects at most `subjectsPerChunk` indices, none twice @returns one array per parameter, in the order of the parameters
   */
  clippedSum(
    parameters: Parameters,
    subjects: Uint32Array,
    l2ClipNorm: number,
  ): Promise<readonly Float32Array[]>;
}

/**
 * A sum whose change is known when one subject is added or removed. Noise is added to nothing else, so an unclipped gradient does not
 * type-check; the private field keeps look-alikes out.
 */
export class BoundedSum {
  readonly #l2NormBound: number;
  /** float64 sums, one array per parameter. Sensitive: discard after the noise is added. */
  readonly values: readonly Float64Array[];

  private constructor(values: readonly Float64Array[], l2NormBound: number) {
    this.values = values;
    this.#l2NormBound = l2NormBound;
  }

  /** Largest L2 distance between the sums of two neighbouring data sets. */
  get l2NormBound(): number {
    return this.#l2NormBound;
  }

  /**
   * Runs the clipping graph over the subjects in chunks and adds the chunks up in float64. Chunks are a schedule: only speed depends on them.
   * @param shapes number of values of each parameter; an empty draw gives zeros of these lengths
   * @throws LETHE-3305 a chunk's sum is not finite, has other shapes, or is longer than its subjects' bounds together allow
   */
  static async of<Parameters>(
    step: ClippedStep<Parameters>,
    parameters: Parameters,
    subjects: Uint32Array,
    shapes: readonly number[],
    spec: MechanismSpec,
    execution: ExecutionOptions,
  ): Promise<BoundedSum> {
    const total = shapes.map((length) => new Float64Array(length));
    for (let at = 0; at < subjects.length; at += execution.subjectsPerChunk) {
      const chunk = subjects.subarray(at, at + execution.subjectsPerChunk);
      const sums = await step.clippedSum(parameters, chunk, spec.l2ClipNorm);
      requireBounded(sums, shapes, chunk.length * spec.l2ClipNorm);
      for (const [p, sum] of sums.entries()) {
        const into = total[p]!;
        for (let i = 0; i < into.length; i++) into[i]! += sum[i]!;
      }
    }
    return new BoundedSum(total, spec.l2ClipNorm);
  }
}

/** Float32 sums carry a relative rounding error; anything beyond this is a clipping graph that does not clip. */
const ROUNDING = 1e-4;

/** A necessary condition, checked on every step: c subjects of norm at most C sum to at most c C. */
function requireBounded(sums: readonly Float32Array[], shapes: readonly number[], bound: number): void {
  if (sums.length !== shapes.length || sums.some((sum, p) => sum.length !== shapes[p])) {
    throw PRIVACY.SENSITIVITY_UNKNOWN('the clipping graph returned other shapes than the parameters have');
  }
  let squared = 0;
  for (const sum of sums) for (const value of sum) squared += value * value;
  if (!(Math.sqrt(squared) <= bound * (1 + ROUNDING))) {
    throw PRIVACY.SENSITIVITY_UNKNOWN('the clipped sum is not finite or longer than clipping allows');
  }
}
