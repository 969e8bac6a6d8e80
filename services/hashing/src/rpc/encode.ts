import type { hashing } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { type HashingContext, servingOf } from '../context.ts';
import { WHOLE_RECORD } from '../domain/filter.ts';
import { checkModality } from './search.ts';

/** The code of one record by the newest version. Nothing of it is kept. */
export async function encode(
  context: HashingContext,
  { name, payload, modality }: hashing.EncodeRequest,
): Promise<Partially<hashing.EncodeResponse>> {
  const serving = await servingOf(context, name);
  checkModality(modality);
  return {
    modality: WHOLE_RECORD,
    code: serving.encode([serving.decode(payload)]),
    functionVersion: serving.version,
  };
}
