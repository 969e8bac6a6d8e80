import { hashing } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { functionAddress, type HashingContext } from '../context.ts';
import { compatibilityOf, figuresOf } from '../domain/watch.ts';

const { STATE_COLLECTING_REFERENCE, STATE_WATCHING } = hashing.DriftWatch_State;

/** Scores by version and task, their figures, and how far the watch for drift is. @throws LETHE-4201 */
export async function getHashMetrics(
  { functions, watches, drift }: HashingContext,
  { name }: hashing.GetHashMetricsRequest,
): Promise<Partially<hashing.HashMetrics>> {
  const address = functionAddress(name);
  const { gates = [] } = await functions.load(address);
  const { state } = await watches.load(address.tenant, address.id);
  return {
    name,
    rows: state.rows.map(({ version, root, tasks }) => ({ version, root, tasks })),
    ...figuresOf(state),
    ...compatibilityOf(gates),
    drift: drift.stateOf(address).map((seen) => ({
      modality: seen.modality,
      version: seen.version,
      state: seen.referenceDigest === '' ? STATE_COLLECTING_REFERENCE : STATE_WATCHING,
      referenceItems: BigInt(seen.referenceItems),
      referenceItemsNeeded: BigInt(seen.referenceItemsNeeded),
      items: BigInt(seen.items),
      skippedItems: BigInt(seen.skippedItems),
      referenceDigest: seen.referenceDigest,
    })),
  };
}
