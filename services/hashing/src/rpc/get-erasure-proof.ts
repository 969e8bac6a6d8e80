import type { hashing } from '@lethe/contracts';
import { functionAddress, type HashingContext } from '../context.ts';
import { HASHING_SERVICE } from '../errors.ts';

/** What shows that an erasure changed the erased leaves of the ledger and no other. @throws LETHE-4201, LETHE-4211 */
export async function getErasureProof(
  { functions }: HashingContext,
  { name, erasure }: hashing.GetErasureProofRequest,
): Promise<hashing.ErasureProof> {
  const address = functionAddress(name);
  const { erasures } = await functions.load(address);
  const ref = erasures[erasure]?.proof;
  if (!ref) {
    throw HASHING_SERVICE.PROOF_UNKNOWN('no such erasure took entries out of this function', {
      details: { function: name },
    });
  }
  return { proof: await functions.sealed.get(address.tenant, ref), digest: ref.digest };
}
