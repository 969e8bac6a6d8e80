/**
 * New codes by discrete cyclic coordinate descent (Shen, Shen, Liu, Shen, "Supervised Discrete Hashing", CVPR 2015, section 3.2; DLCH updates its new
 * codes by it): one code B [n, K] for each new record, shared by its modalities, minimising
 *
 *     sum over modalities m of  rho ‖K S - U_m Bᵀ‖² + anchor ‖U_m - B‖²        S = Ŷ Ŷᵀ over the new records
 *
 * With R = sum of rho K Ŷ (Ŷᵀ U_m) + anchor U_m and M = rho sum of U_mᵀ U_m this is `-2 tr(Bᵀ R) + tr(B M Bᵀ)` and a constant, so records do
 * not touch each other and bit k of a record is best at `sign(R_k - sum over l != k of B_l M_lk)`. Every flip lowers the objective by exactly 4 |that|.
 */
import { HASHING } from '../errors.ts';

export interface DiscreteProblem {
  readonly codeBits: number;
  /** R [n, K]. */
  readonly pull: Float64Array;
  /** M [K, K], symmetric. */
  readonly gram: Float64Array;
}

export interface NewCodeSpec {
  readonly codeBits: number;
  readonly classes: number;
  /** tanh of the networks' outputs, [n, K] for each modality; rows of 0 where a record lacks it. */
  readonly outputs: readonly Float32Array[];
  /** Ŷ [n, C]. */
  readonly labels: Float64Array;
  readonly rho: number;
  readonly anchor: number;
}

/** @throws LETHE-3403 */
export function newCodeProblem({
  codeBits: K,
  classes: C,
  outputs,
  labels,
  rho,
  anchor,
}: NewCodeSpec): DiscreteProblem {
  const n = labels.length / C;
  if (outputs.some((u) => u.length !== n * K))
    throw HASHING.SHAPE_MISMATCH('outputs and labels differ in number');
  const pull = new Float64Array(n * K);
  const gram = new Float64Array(K * K);
  for (const u of outputs) {
    const byClass = new Float64Array(C * K);
    for (let i = 0; i < n; i++) {
      for (let c = 0; c < C; c++) {
        const y = labels[i * C + c]!;
        if (y !== 0) for (let k = 0; k < K; k++) byClass[c * K + k]! += y * u[i * K + k]!;
      }
      for (let k = 0; k < K; k++) {
        const scaled = rho * u[i * K + k]!;
        for (let l = 0; l <= k; l++) gram[k * K + l]! += scaled * u[i * K + l]!;
      }
    }
    for (let i = 0; i < n; i++) {
      for (let c = 0; c < C; c++) {
        const y = rho * K * labels[i * C + c]!;
        if (y !== 0) for (let k = 0; k < K; k++) pull[i * K + k]! += y * byClass[c * K + k]!;
      }
      for (let k = 0; k < K; k++) pull[i * K + k]! += anchor * u[i * K + k]!;
    }
  }
  for (let k = 0; k < K; k++) for (let l = 0; l < k; l++) gram[l * K + k] = gram[k * K + l]!;
  return { codeBits: K, pull, gram };
}

/**
 * One cycle over all bits, in place. A tie keeps the bit, so a second cycle that flips nothing ends the descent.
 * @returns flips, and by how much the objective fell
 */
export function discreteSweep(
  { codeBits: K, pull, gram }: DiscreteProblem,
  codes: Int8Array,
): { readonly flips: number; readonly decrease: number } {
  let flips = 0;
  let decrease = 0;
  for (let at = 0; at < codes.length; at += K) {
    for (let k = 0; k < K; k++) {
      let best = pull[at + k]!;
      for (let l = 0; l < K; l++) if (l !== k) best -= gram[k * K + l]! * codes[at + l]!;
      if (best * codes[at + k]! >= 0) continue;
      codes[at + k] = -codes[at + k]!;
      flips++;
      decrease += 4 * Math.abs(best);
    }
  }
  return { flips, decrease };
}

/** Cycles until nothing flips, `most` at the most. @returns fresh codes */
export function descend(
  problem: DiscreteProblem,
  start: Int8Array,
  most: number,
): { codes: Int8Array; flips: number } {
  const codes = start.slice();
  let flips = 0;
  for (let cycle = 0; cycle < most; cycle++) {
    const done = discreteSweep(problem, codes).flips;
    flips += done;
    if (done === 0) break;
  }
  return { codes, flips };
}
