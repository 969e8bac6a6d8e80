/**
 * Semi-paired ingestion: items without partner and without label get codes through those that have a partner.
 *
 *     A [m, D]  features of the paired items, the anchors      B [m, K]  stored codes of their partners, ±1
 *     z = argmin |x - Aᵀ z|² + rho |z|²                        code = [zᵀ B > 0]
 *
 * Source: RREH (relation reconstruction over anchors of semi-paired items, hashing without a graph Laplacian), of which we read the abstract.
 * Different here: codes of the anchors are those their partners already have, not found by discrete optimisation, so no stored code moves; and
 * no anchor is kept. z = (A Aᵀ + rho I)⁻¹ A x, and by (A Aᵀ + rho I)⁻¹ A = A (Aᵀ A + rho I)⁻¹
 *
 *     zᵀ B = xᵀ (Aᵀ A + rho I)⁻¹ Aᵀ B
 *
 * which is the analytic head on the sums AᵀA and AᵀB. Features and codes are integers, so the sums are exact: anchors are people, and one that
 * is erased leaves the sums, and the weights after the solve, as if it had never been there, bit for bit. An item whose code was made
 * through the anchors is no anchor and is not in the sums.
 */
import { HASHING } from '../errors.ts';
import type { HeadStatistics, LabelledFeatures } from '../statistics.ts';
import { addItems, subtractItems } from '../statistics.ts';

/** Anchors on their way into or out of the sums. */
export interface Anchors {
  /** [m, D], 0..127: features of the modality that will be encoded. */
  readonly features: Uint8Array;
  /** [m, K / 8]: codes of their partners, as they are stored; the same bytes are needed to take an anchor out. */
  readonly partnerCodes: Uint8Array;
}

function labelled(sums: HeadStatistics, { features, partnerCodes }: Anchors): LabelledFeatures {
  const { codeBits } = sums;
  const count = (partnerCodes.length * 8) / codeBits;
  if (!Number.isInteger(count)) {
    throw HASHING.CODE_LENGTH_WRONG(`a code of these sums has ${codeBits / 8} bytes`);
  }
  const targets = Array.from({ length: count }, (_, row) =>
    Int8Array.from({ length: codeBits }, (_, k) => {
      const bit = row * codeBits + k;
      return (partnerCodes[bit >> 3]! >> (bit & 7)) & 1 ? 1 : -1;
    }),
  );
  return { features, targets };
}

/**
 * Sums to be solved by `fitHashFunction` with lambda = rho, in units of squared features. Start from `emptyStatistics(D, K)`.
 * @throws LETHE-3403  @throws LETHE-3406  @throws LETHE-3430
 */
export const addAnchors = (sums: HeadStatistics, anchors: Anchors): HeadStatistics =>
  addItems(sums, labelled(sums, anchors));

/** Exact, as `subtractItems`. @throws LETHE-3403  @throws LETHE-3404  @throws LETHE-3406 */
export const subtractAnchors = (sums: HeadStatistics, anchors: Anchors): HeadStatistics =>
  subtractItems(sums, labelled(sums, anchors));
