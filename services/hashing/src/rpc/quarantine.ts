import { hashing } from '@lethe/contracts';
import { HASHING } from '@lethe/hashing';
import type { Partially } from '@lethe/rpc';
import { excludedOf, functionAddress, type HashingContext, servingOf } from '../context.ts';
import type { Quarantined } from '../domain/head.ts';
import { HASHING_SERVICE } from '../errors.ts';
import type { Learned } from '../learned.ts';
import { editQuarantine } from '../quarantine.ts';
import { resource } from '../resource.ts';

const ITEMS_MAX = 10_000;
const { REASON_LOW_MARGIN, REASON_HUB } = hashing.QuarantinedItem_Reason;
const { RESOLUTION_RELEASE, RESOLUTION_RETIRE } = hashing.ResolveQuarantineRequest_Resolution;

const invalid = (why: string, field: string) => HASHING_SERVICE.REQUEST_INVALID(why, { details: { field } });

/**
 * Items that are left out of answers, by their place in the ledger. Whoever is contained is left out here too, and who is erased while the
 * list is being sent: its versions share one index, in which her entries are gone at once.
 */
export async function* listQuarantine(
  context: HashingContext,
  { name, retired }: hashing.ListQuarantineRequest,
  signal: AbortSignal,
): AsyncGenerator<Partially<hashing.QuarantinedItem>> {
  const { learned } = await servingOf(context, name);
  const release = learned.hold();
  try {
    for (const item of learned.head.quarantine) {
      if (signal.aborted) return;
      if (item.retired && !retired) continue;
      const entry = learned.index.entryAt(item.position);
      if (entry.kind === 'erased' || excludedOf(context, name).excludedOwners?.has(entry.owner)) continue;
      yield {
        itemId: entry.itemId,
        modality: learned.modalities[entry.modality]!,
        labels: [...entry.labels],
        reason: item.reason === 'margin' ? REASON_LOW_MARGIN : REASON_HUB,
        retired: item.retired,
      };
    }
  } finally {
    release();
  }
}

/** Releases items or retires them. @throws LETHE-4201, LETHE-4203, LETHE-4207  @throws LETHE-3408 an item is not there */
export async function resolveQuarantine(
  context: HashingContext,
  { name, itemIds, resolution }: hashing.ResolveQuarantineRequest,
): Promise<Partially<hashing.HashFunction>> {
  if (itemIds.length === 0 || itemIds.length > ITEMS_MAX)
    throw invalid(`names none or more than ${ITEMS_MAX} items`, 'item_ids');
  if (resolution !== RESOLUTION_RELEASE && resolution !== RESOLUTION_RETIRE)
    throw invalid('is neither RELEASE nor RETIRE', 'resolution');
  const address = functionAddress(name);
  await servingOf(context, name);
  await context.functions.inTurn(address, () =>
    editQuarantine(context, address, (learned) =>
      resolved(learned, positionsOf(context, name, learned, itemIds), resolution),
    ),
  );
  return await resource(context, address);
}

/** Contained and erased items are refused as items that never were. @throws LETHE-3408 */
function positionsOf(
  context: HashingContext,
  name: string,
  { index }: Learned,
  itemIds: readonly Uint8Array[],
): Set<number> {
  const { excludedOwners } = excludedOf(context, name);
  const positions = itemIds.map((itemId) => {
    const entry = index.entry(itemId);
    if (entry.kind === 'live' && !excludedOwners?.has(entry.owner)) return entry.index;
    throw HASHING.ITEM_NOT_FOUND('the item is not in the index');
  });
  return new Set(positions);
}

/** @returns undefined if none of the items is in quarantine, or all are retired already and shall be */
function resolved(
  { head: { quarantine } }: Learned,
  positions: ReadonlySet<number>,
  resolution: hashing.ResolveQuarantineRequest_Resolution,
): readonly Quarantined[] | undefined {
  const isRetired = resolution === RESOLUTION_RETIRE;
  const named = quarantine.filter(({ position }) => positions.has(position));
  if (named.every(({ retired }) => retired && isRetired)) return undefined;
  return isRetired
    ? quarantine.map((item) => (positions.has(item.position) ? { ...item, retired: true } : item))
    : quarantine.filter(({ position }) => !positions.has(position));
}
