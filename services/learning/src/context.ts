import { type learning, parseName, resourceName } from '@lethe/contracts';
import { AggregateStore } from '@lethe/events';
import { type Directory, directoryOf, SealedArtefacts, type ServiceDeps } from '@lethe/service';
import { type Aliases, type ModelAliasEvent, modelAlias } from './domain/model-alias.ts';
import { type ModelVersion, type Run, type TrainingRunEvent, trainingRun } from './domain/training-run.ts';
import { LEARNING } from './errors.ts';
import { PrivacyBudgets } from './privacy-budgets.ts';
import { ServedModels } from './served-models.ts';

export interface LearningSettings {
  /** Shards of an ensemble in training at once, one thread each; weights do not depend on it. Default 2. */
  readonly parallelism?: number;
  /** How long a run waits for its root to appear in the transparency log. Default 10,000. */
  readonly logWaitMs?: number;
  /** How long an erasure waits for a training that started before it. Default 45,000. */
  readonly runWaitMs?: number;
}

/** A run that exists. */
export interface LoadedRun {
  readonly tenant: string;
  readonly id: string;
  readonly run: Run & { readonly spec: learning.TrainingSpec };
}

export interface LoadedModel extends LoadedRun {
  readonly version: ModelVersion;
}

/** Everything that the methods and consumers of the service work with. */
export class LearningContext {
  readonly deps: ServiceDeps;
  readonly settings: Required<LearningSettings>;
  readonly runs: AggregateStore<Run, TrainingRunEvent>;
  readonly aliases: AggregateStore<Aliases, ModelAliasEvent>;
  readonly privacy: PrivacyBudgets;
  readonly state: SealedArtefacts;
  readonly #directory: Directory;
  readonly served: ServedModels;
  /** Of runs that train in this process, by resource name. */
  readonly progress = new Map<string, { done: number; total: number; phase: string }>();

  constructor(deps: ServiceDeps, settings: LearningSettings) {
    this.deps = deps;
    this.settings = { parallelism: 2, logWaitMs: 10_000, runWaitMs: 45_000, ...settings };
    this.runs = new AggregateStore(trainingRun, { bus: deps.bus, source: 'learning', clock: deps.clock });
    this.aliases = new AggregateStore(modelAlias, { bus: deps.bus, source: 'learning', clock: deps.clock });
    this.privacy = new PrivacyBudgets(this);
    this.state = new SealedArtefacts(deps);
    this.#directory = directoryOf(deps.bus, trainingRun.type);
    this.served = new ServedModels(this);
  }

  async findRun(tenant: string, id: string): Promise<LoadedRun | undefined> {
    const { state: run } = await this.runs.load(tenant, id);
    return run.spec ? { tenant, id, run: { ...run, spec: run.spec } } : undefined;
  }

  /** @param name of a run @throws LETHE-4303, 1101 */
  async loadRun(name: string): Promise<LoadedRun> {
    const [tenant, id] = parseName('trainingRun', name);
    const loaded = await this.findRun(tenant, id!);
    if (!loaded) throw LEARNING.RUN_UNKNOWN('there is no such training run', { details: { run: name } });
    return loaded;
  }

  /** The newest version of a model, by its own name or by an alias. @throws LETHE-4304, 4316, 1101 */
  async loadModel(name: string): Promise<LoadedModel> {
    const [tenant, id] = parseName('model', ALIAS.test(name) ? await this.#modelOf(name) : name);
    const loaded = await this.findRun(tenant, id!);
    const version = loaded?.run.versions.at(-1);
    if (!loaded || !version)
      throw LEARNING.MODEL_UNKNOWN('there is no such model', { details: { model: name } });
    return { ...loaded, version };
  }

  async #modelOf(alias: string): Promise<string> {
    const [tenant, dataset] = parseName('modelAlias', alias);
    const { state } = await this.aliases.load(tenant, dataset!);
    const found = state[alias];
    if (!found) throw LEARNING.ALIAS_UNKNOWN('no model was promoted to the alias', { details: { alias } });
    return found.model;
  }

  /** Every run of a tenant, oldest first. */
  async listRuns(tenant: string): Promise<(LoadedRun & { readonly sequence: number })[]> {
    const listed = await this.#directory.ofTenant(tenant);
    const runs = await Promise.all(
      listed.map(async ({ id, sequence }) => {
        const run = await this.findRun(tenant, id);
        return run && { ...run, sequence };
      }),
    );
    return runs.filter((run) => run !== undefined);
  }
}

const ALIAS = /\/aliases\//;

export const runName = (tenant: string, id: string): string => resourceName('trainingRun', tenant, id);
/** A model carries the id of its run. */
export const modelName = (tenant: string, id: string): string => resourceName('model', tenant, id);
