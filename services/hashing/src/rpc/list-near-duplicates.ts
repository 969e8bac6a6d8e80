import type { hashing } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { excludedOf, functionAddress, type HashingContext, servingOf } from '../context.ts';
import { decodeDuplicates } from '../domain/duplicates.ts';
import type { Learned } from '../learned.ts';
import { isLoss } from '../rebuild.ts';
import { referenceOf } from '../sealed-state.ts';

/** What the filter has left out, in the order in which it came; without persons who are contained. */
export async function* listNearDuplicates(
  context: HashingContext,
  { name }: hashing.ListNearDuplicatesRequest,
  signal: AbortSignal,
): AsyncGenerator<Partially<hashing.NearDuplicate>> {
  const { learned, pieces } = await piecesOf(context, name);
  const release = learned.hold();
  try {
    for (const row of pieces.flatMap((piece) => decodeDuplicates(piece))) {
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

/**
 * All pieces, before the first row is sent: an erasure on another replica destroys those that it replaces, and this one may not have
 * followed yet. @throws LETHE-4209, LETHE-26xx a piece of the newest version is damaged or gone
 */
async function piecesOf(
  context: HashingContext,
  name: string,
): Promise<{ readonly learned: Learned; readonly pieces: readonly Uint8Array[] }> {
  for (;;) {
    const { learned } = await servingOf(context, name);
    const release = learned.hold();
    try {
      const pieces: Uint8Array[] = [];
      for (const { reference, digest } of learned.head.duplicates)
        pieces.push(await learned.store.verified(reference, digest));
      return { learned, pieces };
    } catch (error) {
      if (!isLoss(error)) throw error;
      const address = functionAddress(name);
      const { current } = await context.functions.load(address);
      if (current?.state && learned.reference === referenceOf(current.state)) throw error;
      await context.functions.refresh(address);
    } finally {
      release();
    }
  }
}
