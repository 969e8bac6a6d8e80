/** Learning: training runs, models, their privacy ledger, exact unlearning. See README.md for what it takes, gives and keeps. */
import { EVENT, learning } from '@lethe/contracts';
import { on, type Subscription, subscribe } from '@lethe/events';
import { bind } from '@lethe/rpc';
import { type Service, type ServiceDeps, takePart, watch } from '@lethe/service';
import { contain } from './consumers/erasure-requested.ts';
import { erase } from './consumers/erasure-started.ts';
import { onTrainingRequested } from './consumers/training-requested.ts';
import { LearningContext, type LearningSettings } from './context.ts';
import { createTrainingRun } from './rpc/create-training-run.ts';
import { getReplay } from './rpc/get-replay.ts';
import { planErasure } from './rpc/plan-erasure.ts';
import { predict } from './rpc/predict.ts';
import { isFinal, runResource } from './rpc/resource.ts';

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
    getModel: async ({ name }) => (await context.loadModel(name)).version.model,
    predict: (request, call) => predict(context, request, call),
    planErasure: (request) => planErasure(context, request),
    getReplay: (request) => getReplay(context, request),
  });
  return {
    name: 'learning',
    bindings: [binding],
    async start() {
      subscriptions.push(
        await subscribe({
          bus: deps.bus,
          consumer: 'learning-training',
          aggregates: ['training-run'],
          handlers: [
            on(EVENT.trainingRequested, (event, attempt) => onTrainingRequested(context, event, attempt)),
          ],
          ignores: [EVENT.privacySpent, EVENT.modelTrained, EVENT.trainingFailed],
          logger: deps.logger,
        }),
        await takePart(deps, {
          owner: 'learning',
          contain: (tenant, request) => contain(context, tenant, request),
          erase: (tenant, started) => erase(context, tenant, started),
        }),
      );
    },
    async close() {
      await Promise.all(subscriptions.map((subscription) => subscription.stop()));
      await context.served.close();
    },
  };
}
