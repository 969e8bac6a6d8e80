import { PRIVACY } from '../errors.ts';

/** The clipping graph behind a port: the model's forward, backward and clipping of some units in one run. */
export interface ClippedStep {
  /** Units in a run at most; fewer are padded and masked. */
  readonly unitsPerRun: number;
  /** Number of values of each parameter. */
  readonly lengths: readonly number[];
  /** What the rounding of one run adds to the sensitivity, relative to the clip norm (`ClippedSum.rounding` of @lethe/graph). */
  readonly rounding: number;
  /**
   * Sum over the units of their gradients, each first scaled to an L2 norm of at most `l2ClipNorm` over all parameters together. A unit whose gradient
   * is not finite contributes zero.
   * @param units at most `unitsPerRun` indices, none twice @returns one array per parameter
   */
  clippedSum(units: Uint32Array, l2ClipNorm: number): Promise<readonly (Float32Array | Float64Array)[]>;
}

/**
 * A sum whose change is known when one unit is added or removed. Noise is added to nothing else, so an unclipped gradient does not
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

  /** Largest L2 distance between the sums of two neighbouring data sets (add or remove one), rounding included. */
  get l2NormBound(): number {
    return this.#l2NormBound;
  }

  /** The bound for draws of up to `unitsMax` units: it must not depend on the draw. */
  static bound(step: ClippedStep, l2ClipNorm: number, unitsMax: number): number {
    return l2ClipNorm * (1 + step.rounding * Math.max(1, Math.ceil(unitsMax / step.unitsPerRun)));
  }

  /**
   * Runs the clipping graph over the units in chunks and adds the chunks up in float64. Chunks are a schedule: only speed and the rounding bound
   * depend on them. @param unitsMax public upper bound on the size of any draw
   * @throws LETHE-3305 a chunk's sum is not finite, has other shapes, or is longer than its units' bounds together allow
   */
  static async of(
    step: ClippedStep,
    units: Uint32Array,
    l2ClipNorm: number,
    unitsMax: number,
  ): Promise<BoundedSum> {
    if (units.length > unitsMax) {
      throw PRIVACY.SENSITIVITY_UNKNOWN('a draw is larger than the rounding of its sum was charged for');
    }
    const total = step.lengths.map((length) => new Float64Array(length));
    for (let at = 0; at < units.length; at += step.unitsPerRun) {
      const chunk = units.subarray(at, at + step.unitsPerRun);
      const sums = await step.clippedSum(chunk, l2ClipNorm);
      requireBounded(sums, step.lengths, chunk.length * l2ClipNorm * (1 + step.rounding));
      for (const [p, sum] of sums.entries()) {
        const into = total[p]!;
        for (let i = 0; i < into.length; i++) into[i]! += sum[i]!;
      }
    }
    return new BoundedSum(total, BoundedSum.bound(step, l2ClipNorm, unitsMax));
  }
}

/** A necessary condition, checked on every chunk: n units of norm at most C sum to at most n C. */
function requireBounded(
  sums: readonly (Float32Array | Float64Array)[],
  lengths: readonly number[],
  bound: number,
): void {
  if (sums.length !== lengths.length || sums.some((sum, p) => sum.length !== lengths[p])) {
    throw PRIVACY.SENSITIVITY_UNKNOWN('the clipping graph returned other shapes than the parameters have');
  }
  let squared = 0;
  for (const sum of sums) for (let i = 0; i < sum.length; i++) squared += sum[i]! * sum[i]!;
  if (!(Math.sqrt(squared) <= bound)) {
    throw PRIVACY.SENSITIVITY_UNKNOWN('the clipped sum is not finite or longer than clipping allows');
  }
}
