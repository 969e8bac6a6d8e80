import { type learning, parseName } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import type { LearningContext } from '../context.ts';
import { pageOf } from './page.ts';

/** The newest version of each, oldest run first. */
export async function listModels(
  context: LearningContext,
  request: learning.ListModelsRequest,
): Promise<Partially<learning.ListModelsResponse>> {
  const [tenant] = parseName('tenant', request.parent);
  const runs = await context.listRuns(tenant);
  const { page, nextPageToken } = pageOf(
    runs.filter(({ run }) => run.versions.length > 0),
    request,
  );
  return { models: page.map(({ run }) => run.versions.at(-1)!.model), nextPageToken };
}
