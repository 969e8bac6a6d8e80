import type { hashing } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { type HashingContext, masksOf, servingOf } from '../context.ts';
import { WHOLE_RECORD } from '../domain/filter.ts';

/** Every code that a search could return, in the order of the ledger. The mask is asked anew for each: a stream takes time. */
export async function* listCodes(
  context: HashingContext,
  { name }: hashing.ListCodesRequest,
  signal: AbortSignal,
): AsyncGenerator<Partially<hashing.CodeEntry>> {
  const serving = await servingOf(context, name);
  for (const item of serving.items) {
    if (signal.aborted) return;
    if (masksOf(context, name).aliases.has(item.alias)) continue;
    yield {
      itemId: item.itemId,
      functionVersion: item.fnVersion,
      code: item.code,
      label: item.label,
      labels: [item.label],
      modality: WHOLE_RECORD,
      leafIndex: BigInt(serving.ledger.indexOf(item.itemId)),
      leafHash: serving.leafHashOf(item),
    };
  }
}
