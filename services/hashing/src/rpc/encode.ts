import type { hashing } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { encodeQuery, type HashingContext, servingOf } from '../context.ts';

/** The code of one record by the newest version. Nothing of it is kept but counts, while traffic is watched for drift (`drift.ts`). */
export async function encode(
  context: HashingContext,
  { name, payload, modality }: hashing.EncodeRequest,
): Promise<Partially<hashing.EncodeResponse>> {
  const { learned, applied } = await servingOf(context, name);
  const row = learned.decode(payload);
  const number = learned.modalityOf(row, modality);
  return {
    code: encodeQuery(context, name, learned, number, row),
    functionVersion: learned.version,
    modality: learned.modalities[number]!,
    appliedSequence: applied,
  };
}
