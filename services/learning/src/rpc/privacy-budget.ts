/** Limit and odometer of a dataset's privacy. */
import { type learning, parseName } from '@lethe/contracts';
import { ACCOUNTANT_VERSION, type PrivacyUnit, parsePlan } from '@lethe/privacy';
import type { Partially } from '@lethe/rpc';
import type { LearningContext } from '../context.ts';
import { LEARNING } from '../errors.ts';

const DELTA_DEFAULT = 1e-5;
const UNITS: readonly PrivacyUnit[] = ['subject', 'record'];

export async function getPrivacyBudget(
  { privacy, deps }: LearningContext,
  request: learning.GetPrivacyBudgetRequest,
): Promise<Partially<learning.PrivacyBudget>> {
  const { dataset } = request;
  const [tenant] = parseName('dataset', dataset);
  if (!(request.delta >= 0 && request.delta < 1)) {
    throw LEARNING.REQUEST_INVALID('delta has to be in (0, 1), or 0 for the default', {
      details: { field: 'delta' },
    });
  }
  await deps.peers.vault.getDataset({ name: dataset });
  const { limit, reservations } = await privacy.state(tenant, dataset);
  const delta = request.delta || limit?.delta || DELTA_DEFAULT;
  const spending: learning.PrivacySpending[] = [];
  for (const unit of UNITS) {
    const cost = await privacy.spent(tenant, [dataset], unit, delta);
    if (cost) spending.push({ unit, epsilonUpper: cost.epsilonUpper, delta, accountant: cost.accountant });
  }
  return {
    dataset,
    ...(limit ? { epsilon: limit.epsilon } : {}),
    delta,
    unit: limit?.unit ?? 'subject',
    neighboringRelation: 'add-or-remove-one',
    spending,
    reservations: reservations.map(({ run, planHash, plan, settledSteps }) => ({
      trainingRun: run,
      planHash,
      steps: settledSteps ?? parsePlan(plan).steps,
      settled: settledSteps !== undefined,
    })),
  };
}

/** @throws LETHE-4310 no dataset, one of another tenant, or a delta of no meaning; LETHE-4322 runs per record hold privacy of one */
export async function getSubjectSpending(
  { privacy }: LearningContext,
  { parent, datasets, delta: asked }: learning.GetSubjectSpendingRequest,
): Promise<Partially<learning.PrivacySpending>> {
  const [tenant] = parseName('tenant', parent);
  const refuse = (field: string, expected: string) =>
    LEARNING.REQUEST_INVALID(`${field} has to be ${expected}`, { details: { field } });
  if (datasets.length === 0) throw refuse('datasets', 'at least one dataset');
  if (datasets.some((dataset) => parseName('dataset', dataset)[0] !== tenant)) {
    throw refuse('datasets', 'datasets of the tenant');
  }
  if (!(asked >= 0 && asked < 1)) throw refuse('delta', 'in (0, 1), or 0 for the default');
  const delta = asked || DELTA_DEFAULT;
  const each = [...new Set(datasets)];
  if (await privacy.spent(tenant, each, 'record', delta)) {
    throw LEARNING.SPENT_PER_RECORD(
      'what a person has spent of these datasets is not known: runs per record hold privacy of them',
    );
  }
  const cost = await privacy.spent(tenant, each, 'subject', delta);
  return {
    unit: 'subject',
    epsilonUpper: cost?.epsilonUpper ?? 0,
    delta,
    accountant: cost?.accountant ?? ACCOUNTANT_VERSION,
  };
}

/** @throws LETHE-3301, LETHE-4310; those of the vault for a dataset that is not there */
export async function setPrivacyBudget(
  context: LearningContext,
  { dataset, epsilon, delta, unit }: learning.SetPrivacyBudgetRequest,
): Promise<Partially<learning.PrivacyBudget>> {
  const [tenant] = parseName('dataset', dataset);
  await context.deps.peers.vault.getDataset({ name: dataset });
  await context.privacy.setLimit(tenant, { dataset, epsilon, delta, unit: unit || 'subject' });
  return await getPrivacyBudget(context, { dataset, delta: 0 });
}
