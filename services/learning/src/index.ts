/** Learning: training runs, models, their privacy ledger, exact unlearning. See README.md for what it takes, gives and keeps. */
import { EVENT, learning } from '@lethe/contracts';
import { on, type Subscription, subscribe } from '@lethe/events';
import { bind } from '@lethe/rpc';
import { type Service, type ServiceDeps, takePart, watch } from '@lethe/service';
import { contain } from './consumers/erasure-requested.ts';
import { erase, goOn } from './consumers/erasure-started.ts';
import { onTrainingRequested } from './consumers/training-requested.ts';
import { LearningContext, type LearningSettings } from './context.ts';
import { cancelTrainingRun } from './rpc/cancel-training-run.ts';
import { createTrainingRun } from './rpc/create-training-run.ts';
import { getReplay } from './rpc/get-replay.ts';
import { listModels } from './rpc/list-models.ts';
import { listTrainingRuns } from './rpc/list-training-runs.ts';
import { planErasure } from './rpc/plan-erasure.ts';
import { predict } from './rpc/predict.ts';
import { getPrivacyBudget, getSubjectSpending, setPrivacyBudget } from './rpc/privacy-budget.ts';
import { promoteModel } from './rpc/promote-model.ts';
import { isFinal, runResource } from './rpc/resource.ts';
import { resumeTrainingRun } from './rpc/resume-training-run.ts';

export type { LearningSettings } from './context.ts';
export { LEARNING } from './errors.ts';
export { type ReplayPlan, replayShard } from './replay.ts';

export function create(deps: ServiceDeps, settings: LearningSettings = {}): Service {
  const context = new LearningContext(deps, settings);
  const subscriptions: Subscription[] = [];
  const run = async (name: string) => runResource(context, await context.loadRun(name));
  const binding = bind(learning.LearningServiceDefinition, {
    createTrainingRun: (request) => createTrainingRun(context, request),
    getTrainingRun: ({ name }) => run(name),
    watchTrainingRun: ({ name }, { signal }) => watch({ load: () => run(name), isFinal, signal }),
    listTrainingRuns: (request) => listTrainingRuns(context, request),
    cancelTrainingRun: (request) => cancelTrainingRun(context, request),
    resumeTrainingRun: (request) => resumeTrainingRun(context, request),
    getModel: async ({ name }) => (await context.loadModel(name)).version.model,
    listModels: (request) => listModels(context, request),
    promoteModel: (request) => promoteModel(context, request),
    getPrivacyBudget: (request) => getPrivacyBudget(context, request),
    getSubjectSpending: (request) => getSubjectSpending(context, request),
    setPrivacyBudget: (request) => setPrivacyBudget(context, request),
    predict: (request, call) => predict(context, request, call),
    planErasure: (request) => planErasure(context, request),
    getReplay: (request) => getReplay(context, request),
  });
  return {
    name: 'learning',
    bindings: [binding],
    async start() {
      await context.privacy.sweep();
      subscriptions.push(
        await subscribe({
          bus: deps.bus,
          consumer: 'learning-training',
          aggregates: ['training-run'],
          handlers: [
            on(EVENT.trainingRequested, (event, attempt) => onTrainingRequested(context, event, attempt)),
            on(EVENT.trainingResumed, (event, attempt) => onTrainingRequested(context, event, attempt)),
          ],
          ignores: [
            EVENT.privacySpent,
            EVENT.modelTrained,
            EVENT.trainingFailed,
            EVENT.trainingCancelRequested,
            EVENT.trainingCancelled,
          ],
          logger: deps.logger,
        }),
        await takePart(deps, {
          owner: 'learning',
          contain: (tenant, request) => contain(context, tenant, request),
          erase: (tenant, started) => erase(context, tenant, started),
          afterErased: (tenant, started) => goOn(context, tenant, started),
        }),
      );
    },
    async close() {
      await Promise.all(subscriptions.map((subscription) => subscription.stop()));
      await context.served.close();
    },
  };
}
