import type { hashing } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { type HashingContext, servingOf } from '../context.ts';

/** The code of one record by the newest version. Nothing of it is kept. */
export async function encode(
  context: HashingContext,
  { name, payload }: hashing.EncodeRequest,
): Promise<Partially<hashing.EncodeResponse>> {
  const serving = await servingOf(context, name);
  return { code: serving.encode([serving.decode(payload)]), functionVersion: serving.version };
}
