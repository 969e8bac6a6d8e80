import { checkId, EVENT, type learning, parseName, resourceName } from '@lethe/contracts';
import { newEvent } from '@lethe/events';
import { parsePlan } from '@lethe/privacy';
import type { Partially } from '@lethe/rpc';
import { datasetOfRoot } from '@lethe/service';
import type { LearningContext } from '../context.ts';
import { LEARNING } from '../errors.ts';

const ALIAS_DEFAULT = 'serving';

/** Points an alias of the model's dataset at it. Again it changes nothing. @throws LETHE-4317 the model is not for release */
export async function promoteModel(
  context: LearningContext,
  request: learning.PromoteModelRequest,
): Promise<Partially<learning.ModelAlias>> {
  const { tenant, run, version } = await context.loadModel(request.name);
  const { name: model } = version.model;
  if (run.plan && parsePlan(run.plan).noise.mode !== 'production') {
    throw LEARNING.NOT_PROMOTABLE('the model was trained for research: its noise may be known to somebody', {
      details: { model },
    });
  }
  const [, dataset] = parseName('dataset', datasetOfRoot(run.spec.root));
  const aliasId = checkId(request.aliasId || ALIAS_DEFAULT, 'alias_id');
  const alias = resourceName('modelAlias', tenant, dataset!, aliasId);
  const { state } = await context.aliases.propose(tenant, dataset!, (now) =>
    now[alias]?.model === model ? [] : [newEvent(EVENT.modelPromoted, { alias, model })],
  );
  const { previousModel, changedMs } = state[alias]!;
  return { name: alias, model: state[alias]!.model, previousModel, updateTime: new Date(changedMs) };
}
