import type { hashing } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { type HashingContext, servingOf } from '../context.ts';

/** The code of one record by the newest version. Nothing of it is kept. */
export async function encode(
  context: HashingContext,
  { name, payload, modality }: hashing.EncodeRequest,
): Promise<Partially<hashing.EncodeResponse>> {
  const { learned, applied } = await servingOf(context, name);
  const row = learned.decode(payload);
  const number = learned.modalityOf(row, modality);
  return {
    code: learned.encode(number, [row]),
    functionVersion: learned.version,
    modality: learned.modalities[number]!,
    appliedSequence: applied,
  };
}
