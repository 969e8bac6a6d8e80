import type { hashing } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { type HashingContext, servingOf } from '../context.ts';

/**
 * Shows that an item's leaf is in the code ledger. Neither code nor salt: whoever has a salt could try all codes against a leaf after
 * the item has been erased.
 * @throws LETHE-3408 the item has no live entry
 */
export async function getInclusionProof(
  context: HashingContext,
  { name, itemId }: hashing.GetInclusionProofRequest,
): Promise<Partially<hashing.InclusionProof>> {
  const { learned, applied } = await servingOf(context, name);
  const { index, size, leaf, path, root } = learned.index.prove(itemId);
  return {
    leafIndex: BigInt(index),
    leafHash: leaf,
    ledgerSize: BigInt(size),
    ledgerRoot: root,
    path: [...path],
    appliedSequence: applied,
  };
}
