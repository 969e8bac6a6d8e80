import { checkId, EVENT, parseName, resourceName, type vault } from '@lethe/contracts';
import { decodeSpec, specDigest } from '@lethe/datasets';
import { newEvent } from '@lethe/events';
import type { Partially } from '@lethe/rpc';
import { hex } from '@lethe/std';
import type { VaultContext } from '../context.ts';
import { VAULT } from '../errors.ts';

/** Declares a dataset; again with the same specification it changes nothing. */
export async function createDataset(
  { datasets }: VaultContext,
  request: vault.CreateDatasetRequest,
): Promise<Partially<vault.Dataset>> {
  const [tenant] = parseName('tenant', request.parent);
  const id = checkId(request.datasetId, 'dataset_id');
  const digest = hex(specDigest(decodeSpec(request.spec)));
  const name = resourceName('dataset', tenant, id);
  await datasets.store.propose(tenant, id, (state) => {
    if (state.spec === undefined) {
      return [newEvent(EVENT.datasetCreated, { dataset: name, spec: request.spec, specDigest: digest })];
    }
    if (state.specDigest !== digest) {
      throw VAULT.DATASET_EXISTS('the dataset exists with another specification', {
        details: { dataset: name },
      });
    }
    return [];
  });
  return await datasets.resource(tenant, id);
}
