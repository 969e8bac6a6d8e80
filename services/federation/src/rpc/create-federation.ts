import { checkId, parseName, tenantOf, type federation as wire } from '@lethe/contracts';
import { decodeSpec, requireWholeRecords } from '@lethe/datasets';
import type { Partially } from '@lethe/rpc';
import { datasetOfRoot } from '@lethe/service';
import { seededRandom } from '@lethe/std';
import { orthogonalTargets, planOf, verticalPlan } from '@lethe/vertical';
import type { Coordinator } from '../coordinator.ts';
import { create } from '../domain/federation.ts';
import { FEDERATION } from '../errors.ts';
import { addressOf } from '../federations.ts';
import { resource } from '../resource.ts';

const PARTIES_MAX = 16;

/** Declares a federation; again with the same specification it changes nothing. Training starts when all parties have joined. */
export async function createFederation(
  coordinator: Coordinator,
  request: wire.CreateFederationRequest,
): Promise<Partially<wire.Federation>> {
  const [tenant] = parseName('tenant', request.parent);
  const address = addressOf(tenant, checkId(request.federationId, 'federation_id'));
  if (!request.spec) throw invalid('spec is missing', 'spec');
  const spec = await checkedSpec(coordinator, tenant, request.spec);
  const eventId = request.requestId === '' ? undefined : `${address.name}|${request.requestId}`;
  await coordinator.federations.aggregates.propose(tenant, address.id, (state) =>
    create(state, address.name, spec, eventId),
  );
  return await resource(coordinator, address);
}

const invalid = (why: string, field: string) => FEDERATION.REQUEST_INVALID(why, { details: { field } });

/** With the recommended constants where the request leaves one out. Sees everything that can be seen before parties come. */
async function checkedSpec(
  { deps }: Coordinator,
  tenant: string,
  spec: wire.FederationSpec,
): Promise<wire.FederationSpec> {
  if (tenantOf(spec.root) !== tenant) throw invalid('the root lies in another tenant', 'spec.root');
  const { parties } = spec;
  if (parties.length < 1 || parties.length > PARTIES_MAX || new Set(parties).size !== parties.length) {
    throw invalid(`there must be 1 to ${PARTIES_MAX} different parties`, 'spec.parties');
  }
  for (const party of parties) checkId(party, 'party');
  if (spec.seed === '') throw invalid('a seed is missing', 'spec.seed');
  const root = await deps.peers.vault.getDatasetRoot({ name: spec.root });
  const dataset = await deps.peers.vault.getDataset({ name: datasetOfRoot(spec.root) });
  const declared = decodeSpec(dataset.spec);
  requireWholeRecords(declared, 'a federation');
  const classes = declared.label.classes.length;
  const plan = verticalPlan({ classes, parties: parties.length, rows: Number(root.recordCount) });
  const full: wire.FederationSpec = {
    root: spec.root,
    parties,
    codeBits: spec.codeBits || plan.codeBits,
    hiddenUnits: spec.hiddenUnits || plan.bottomHidden,
    topHiddenUnits: spec.topHiddenUnits || plan.topHidden,
    epochs: spec.epochs || plan.epochs,
    batchSize: spec.batchSize || plan.batchRows,
    learningRate: spec.learningRate || plan.learningRate,
    consistencyWeight: spec.consistencyWeight || plan.consistencyWeight,
    seed: spec.seed,
  };
  planOf(full, classes);
  orthogonalTargets(classes, full.codeBits, seededRandom('check'));
  return full;
}
