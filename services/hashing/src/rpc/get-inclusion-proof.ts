import type { hashing } from '@lethe/contracts';
import { HASHING } from '@lethe/hashing';
import type { Partially } from '@lethe/rpc';
import { excludedOf, type HashingContext, servingOf } from '../context.ts';

/**
 * Shows that an item's leaf is in the code ledger. Neither code nor salt: whoever has a salt could try all codes against a leaf after
 * the item has been erased. A contained person's item and an erased one are refused in the words for an item that never was; that a
 * leaf is a tombstone is for `GetErasureProof` to show.
 * @throws LETHE-3408 the item has no live entry
 */
export async function getInclusionProof(
  context: HashingContext,
  { name, itemId }: hashing.GetInclusionProofRequest,
): Promise<Partially<hashing.InclusionProof>> {
  const { learned, applied } = await servingOf(context, name);
  const entry = learned.index.entry(itemId);
  if (entry.kind === 'erased' || excludedOf(context, name).excludedOwners?.has(entry.owner))
    throw HASHING.ITEM_NOT_FOUND('the item is not in the table');
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
