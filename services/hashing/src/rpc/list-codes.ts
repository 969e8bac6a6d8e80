import type { hashing } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { excludedOf, type HashingContext, servingOf } from '../context.ts';

/** Every code of persons who are not contained, in the order of the ledger, those in quarantine too. The mask is asked anew for each: a stream takes time. */
export async function* listCodes(
  context: HashingContext,
  { name }: hashing.ListCodesRequest,
  signal: AbortSignal,
): AsyncGenerator<Partially<hashing.CodeEntry>> {
  const { learned } = await servingOf(context, name);
  const release = learned.hold();
  try {
    for (const entry of learned.index.entries()) {
      if (signal.aborted) return;
      if (entry.kind === 'erased' || excludedOf(context, name).excludedOwners?.has(entry.owner)) continue;
      yield {
        itemId: entry.itemId,
        functionVersion: entry.fnVersion,
        code: entry.code,
        label: entry.labels[0] ?? 0,
        labels: [...entry.labels],
        modality: learned.modalities[entry.modality]!,
        leafIndex: BigInt(entry.index),
        leafHash: learned.leafHashOf(entry),
      };
    }
  } finally {
    release();
  }
}
