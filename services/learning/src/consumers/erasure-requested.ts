import { type events, parseName, resourceName } from '@lethe/contracts';
import type { Containment } from '@lethe/service';
import { datasetOfRoot } from '@lethe/service';
import { type LearningContext, type LoadedRun, modelName } from '../context.ts';
import { holdsWeights, isRunning } from '../domain/training-run.ts';

/** Runs on any root of these datasets, the ones that still train included: they may have read the person already. */
export async function affectedRuns(
  context: LearningContext,
  tenant: string,
  datasets: readonly string[],
): Promise<LoadedRun[]> {
  const wanted = new Set(
    datasets.map((name) => resourceName('dataset', tenant, parseName('dataset', name)[1]!)),
  );
  const runs = await context.listRuns(tenant);
  return runs.filter(({ run }) => wanted.has(datasetOfRoot(run.spec.root)));
}

/** A model gives out no person's records, so there is nothing to hide; what was trained on the datasets is named, stored weights of a stopped run too. */
export async function contain(
  context: LearningContext,
  tenant: string,
  request: events.ErasureRequested,
): Promise<Containment> {
  const runs = await affectedRuns(context, tenant, request.datasets);
  const alive = runs.filter(({ run }) => isRunning(run) || run.versions.length > 0 || holdsWeights(run));
  return { artefacts: alive.map(({ id }) => modelName(tenant, id)).sort() };
}
