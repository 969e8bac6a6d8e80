import type { hashing } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { excludedOf, type HashingContext, servingOf } from '../context.ts';
import { duplicatesOf } from '../near-duplicates.ts';

/** What the filter has left out, in the order in which it came; without persons who are contained. */
export async function* listNearDuplicates(
  context: HashingContext,
  { name }: hashing.ListNearDuplicatesRequest,
  signal: AbortSignal,
): AsyncGenerator<Partially<hashing.NearDuplicate>> {
  const { learned } = await servingOf(context, name);
  const release = learned.hold();
  try {
    for await (const row of duplicatesOf(learned.store, learned.head.duplicates)) {
      if (signal.aborted) return;
      const { original, position, distance, modality } = row;
      const entry = learned.index.entry(original);
      if (entry.kind === 'erased' || excludedOf(context, name).excludedOwners?.has(entry.owner)) continue;
      yield {
        position: BigInt(position),
        modality: learned.modalities[modality]!,
        originalItemId: original,
        distance,
      };
    }
  } finally {
    release();
  }
}
