import { type learning, parseName } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import type { LearningContext } from '../context.ts';
import { pageOf } from './page.ts';
import { runResource } from './resource.ts';

/** Oldest first. */
export async function listTrainingRuns(
  context: LearningContext,
  request: learning.ListTrainingRunsRequest,
): Promise<Partially<learning.ListTrainingRunsResponse>> {
  const [tenant] = parseName('tenant', request.parent);
  const { page, nextPageToken } = pageOf(await context.listRuns(tenant), request);
  return { trainingRuns: page.map((run) => runResource(context, run)), nextPageToken };
}
