/**
 * Erases a batch from every model of its datasets. Ensembles publish one new version without the person and the canaries, so that no
 * two published models differ by one person; a DP model stays as it is and claims what it has promised since its training.
 */
import { common, EVENT, type events, type learning } from '@lethe/contracts';
import { effectId, isPassing, newEvent } from '@lethe/events';
import { parsePlan, planHash, planText } from '@lethe/privacy';
import { readRecords } from '@lethe/service';
import { assert, canonicalJson, fromHex, LetheError, sleep } from '@lethe/std';
import { type LearningContext, type LoadedModel, type LoadedRun, modelName, runName } from '../context.ts';
import {
  holdsWeights,
  isResumable,
  isRunning,
  lastWeights,
  type Run,
  stepsCharged,
} from '../domain/training-run.ts';
import { EnsembleStore, type LeftOut } from '../ensemble-store.ts';
import { LEARNING } from '../errors.ts';
import { fingerprint } from '../fingerprint.ts';
import { resume } from '../rpc/resume-training-run.ts';
import { accounting } from '../training/accounting.ts';
import type { ShardState } from '../training/ensemble.ts';
import { datasetSpec, rowsOf } from '../training/rows.ts';
import { chargeOf } from '../training/train-dp.ts';
import { digestsOf } from '../training/train-ensemble.ts';
import { membersOf, type Unlearned, unlearn } from '../training/unlearn.ts';
import { affectedRuns } from './erasure-requested.ts';

const POLL_MS = 250;

export async function erase(
  context: LearningContext,
  tenant: string,
  started: events.ErasureStarted,
): Promise<Pick<events.OwnerErased, 'claims' | 'needles' | 'attestations'>> {
  const claims: common.ArtefactClaim[] = [];
  const runs = await affectedRuns(context, tenant, started.datasets);
  for (const run of runs.sort((a, b) => (a.id < b.id ? -1 : 1))) {
    claims.push(await eraseFromModel(context, await finished(context, run, started.erasure), started));
  }
  return { claims, needles: undefined, attestations: [] };
}

/**
 * The run once it trains no more. A private run that does not end soon is stopped: what it has released so far carries a guarantee, and the erasure of a
 * person does not wait for hours. It goes on afterwards, see `goOn`. An ensemble is waited for, because a finished one can forget exactly.
 * @throws LETHE-4311 it still trains
 */
async function finished(
  context: LearningContext,
  { tenant, id }: LoadedRun,
  erasure: string,
): Promise<LoadedRun> {
  const { runWaitMs } = context.settings;
  for (let waitedMs = 0; ; waitedMs += POLL_MS) {
    const loaded = await context.loadRun(runName(tenant, id));
    const { run } = loaded;
    if (!isRunning(run)) return loaded;
    if (run.spec.method?.$case === 'dpSgd' && !run.cancelRequested && waitedMs >= runWaitMs / 2) {
      await context.runs.propose(tenant, id, (now) =>
        isRunning(now) && !now.cancelRequested
          ? [newEvent(EVENT.trainingCancelRequested, { run: runName(tenant, id), erasure })]
          : [],
      );
    }
    if (waitedMs >= runWaitMs) {
      throw LEARNING.RUN_NOT_FINISHED('a training on the same data has not ended', {
        details: { run: runName(tenant, id) },
      });
    }
    await sleep(POLL_MS);
  }
}

/** Lets the runs that were stopped for an erasure go on, once its evidence is a fact. Idempotent; a run whose budget is gone stays stopped and says so. */
export async function goOn(
  context: LearningContext,
  tenant: string,
  { erasure, datasets }: events.ErasureStarted,
): Promise<void> {
  for (const loaded of await affectedRuns(context, tenant, datasets)) {
    if (loaded.run.stoppedFor !== erasure || !isResumable(loaded.run)) continue;
    try {
      await resume(context, loaded);
    } catch (error) {
      if (isPassing(error)) throw error;
      context.deps.logger.warn('a run that an erasure has stopped cannot go on; resume it by hand', {
        run: runName(tenant, loaded.id),
        error,
      });
    }
  }
}

async function eraseFromModel(
  context: LearningContext,
  loaded: LoadedRun,
  started: events.ErasureStarted,
): Promise<common.ArtefactClaim> {
  const { versions, spec } = loaded.run;
  const version = versions.at(-1);
  if (!version) {
    if (holdsWeights(loaded.run)) return await certifiedWeights(loaded);
    const kind = spec.method?.$case === 'dpSgd' ? 'MODEL_DP' : 'MODEL_ENSEMBLE';
    const how = loaded.run.cancelled ? 'was cancelled' : 'failed';
    return untouched(modelName(loaded.tenant, loaded.id), kind, '', `the training ${how}: there is no model`);
  }
  const model: LoadedModel = { ...loaded, version };
  return spec.method?.$case === 'shardedEnsemble'
    ? await eraseFromEnsemble(context, model, spec.method.value, started)
    : certified(loaded, version.model);
}

/** An exact claim of a model that never held any of them: its digest stays. */
function untouched(artefact: string, kind: string, digest: string, reason: string): common.ArtefactClaim {
  return {
    ...claimOf(artefact, kind, 'none'),
    claim: common.Claim.CLAIM_ERASED_EXACT,
    digestBefore: digest,
    digestAfter: digest,
    details: { reason },
  };
}

const claimOf = (artefact: string, kind: string, method: string): common.ArtefactClaim => ({
  artefact,
  kind,
  owner: 'learning',
  claim: common.Claim.CLAIM_UNSPECIFIED,
  epsilon: 0,
  delta: 0,
  unit: '',
  digestBefore: '',
  digestAfter: '',
  method,
  details: {},
});

/** Of how many units the guarantee is stated: one. A model does not list its members, so how many records the person had stands elsewhere. */
const groupOf = (unit: string): Record<string, string> => ({
  groupSize: '1',
  ...(unit === 'record'
    ? { group: 'one record: a person with k records has the weaker guarantee of a group of k' }
    : {}),
});

/** A model whose noise was declared to be for research has no guarantee that a certificate may quote. */
const notForRelease = (name: string, kind: string, digest: string, mode: string): common.ArtefactClaim => ({
  ...claimOf(name, kind, 'none'),
  claim: common.Claim.CLAIM_NOT_ERASED,
  digestBefore: digest,
  digestAfter: digest,
  details: {
    reason: `its noise was declared ${mode}, which is not for release: delete the model, or train it in production`,
  },
});

/** The guarantee of one unit. Canaries are in no DP training, so they ask for nothing here. */
function certified(
  { run }: LoadedRun,
  { name, kind, digest, privacy }: learning.Model,
): common.ArtefactClaim {
  const guarantee = privacy!;
  const mode = run.plan ? parsePlan(run.plan).noise.mode : 'production';
  if (mode !== 'production') return notForRelease(name, kind, digest, mode);
  return {
    ...claimOf(name, kind, 'dp-sgd'),
    claim: common.Claim.CLAIM_ERASED_CERTIFIED,
    epsilon: guarantee.epsilonUpper,
    delta: guarantee.delta,
    unit: guarantee.unit,
    digestBefore: digest,
    digestAfter: digest,
    details: {
      neighboringRelation: guarantee.neighboringRelation,
      noiseMultiplier: String(guarantee.noiseMultiplier),
      samplingProbability: String(guarantee.samplingProbability),
      steps: String(guarantee.steps),
      l2ClipNorm: String(guarantee.l2ClipNorm),
      accountant: guarantee.accountant,
      randomSource: guarantee.randomSource,
      ...groupOf(guarantee.unit),
      cohort: 'never in this model',
      ...(guarantee.plan ? { ...ledgerDetails(run, name), ...opinionDetails(guarantee) } : {}),
    },
  };
}

/**
 * A private run that was stopped and may go on: its stored weights are what its charged steps have released, so they carry the guarantee of those. A resumed
 * run does not read the person again.
 */
async function certifiedWeights({ tenant, id, run }: LoadedRun): Promise<common.ArtefactClaim> {
  const name = modelName(tenant, id);
  const plan = parsePlan(run.plan!);
  const { digest } = lastWeights(run)!;
  if (plan.noise.mode !== 'production') return notForRelease(name, 'CHECKPOINT', digest, plan.noise.mode);
  const steps = stepsCharged(run);
  const [cost] = await accounting('costs', { plan: run.plan!, steps: [steps] });
  const { epsilonUpper, epsilonIndependent, epsilonRdp, delta, accountant } = cost!;
  return {
    ...claimOf(name, 'CHECKPOINT', 'dp-sgd'),
    claim: common.Claim.CLAIM_ERASED_CERTIFIED,
    epsilon: epsilonUpper,
    delta,
    unit: plan.unit,
    digestBefore: digest,
    digestAfter: digest,
    details: {
      neighboringRelation: plan.relation,
      noiseMultiplier: String(plan.noise.multiplier),
      samplingProbability: String(plan.sampling.probability),
      steps: String(steps),
      l2ClipNorm: String(plan.clipping.l2ClipNorm),
      accountant,
      ...groupOf(plan.unit),
      cohort: 'never in this model',
      ...ledgerDetails(run, name),
      secondOpinion: epsilonIndependent === null ? 'not-possible' : 'agreed',
      epsilonIndependent: epsilonIndependent === null ? 'none' : String(epsilonIndependent),
      epsilonRdp: String(epsilonRdp),
    },
  };
}

/** Plan and charges in full, as canonical JSON, so that a verifier recomputes hash and chain: libs/certificate/FORMAT.md, "The plan of a private model". */
function ledgerDetails(run: Run, model: string): Record<string, string> {
  const charges = run.charged.map(chargeOf);
  const plan = parsePlan(run.plan!);
  return {
    plan: planText(plan),
    planHash: planHash(plan),
    ledger: canonicalJson(charges),
    ledgerHead: charges.at(-1)?.digest ?? '',
    ledgerOwner: model.replace('/models/', '/trainingRuns/'),
  };
}

const opinionDetails = (guarantee: learning.PrivacyGuarantee): Record<string, string> => ({
  secondOpinion: guarantee.secondOpinion ?? 'not-possible',
  epsilonIndependent:
    guarantee.epsilonIndependent === undefined ? 'none' : String(guarantee.epsilonIndependent),
  epsilonRdp: String(guarantee.epsilonRdp),
});

async function eraseFromEnsemble(
  context: LearningContext,
  model: LoadedModel,
  spec: learning.ShardedEnsembleSpec,
  started: events.ErasureStarted,
): Promise<common.ArtefactClaim> {
  const { tenant, id, run } = model;
  const store = new EnsembleStore(context.state, tenant, id);
  const done = run.versions.find(({ erasure }) => erasure === started.erasure);
  if (done?.claim) {
    await destroyBefore(store, model, done.model.version);
    return done.claim;
  }
  const before = model.version.model;
  const refs = await store.refs(model.version.state);
  const shards = await store.shards(refs);
  const leftOut = await store.leftOut(model.version.state);
  const earlier = leftOut.find(({ alias }) => started.subjects.includes(alias));
  const unlearned = await unlearnFrom(context, model, spec, started, { store, shards });
  if (!unlearned) {
    return earlier
      ? erasedEarlier(model, spec, earlier)
      : untouched(before.name, before.kind, before.digest, 'no record of the batch was trained on');
  }

  const version = before.version + 1;
  const changed = new Set(unlearned.resumed.keys());
  const digests = digestsOf(unlearned.shards);
  const after: learning.Model = {
    ...before,
    digest: digests.digest,
    shardDigests: [...digests.shardDigests],
    version,
    updateTime: new Date(context.deps.clock.nowMs()),
    platformFingerprint: fingerprint(),
  };
  const claim: common.ArtefactClaim = {
    ...claimOf(before.name, before.kind, 'sisa-resume'),
    claim: common.Claim.CLAIM_ERASED_EXACT,
    digestBefore: before.digest,
    digestAfter: after.digest,
    details: {
      ...detailsOf(unlearned, spec),
      ...(earlier ? { erasedWith: `version ${earlier.version}` } : {}),
    },
  };
  const fact: events.ModelTrained = {
    run: runName(tenant, id),
    model: after,
    state: await store.put(version, unlearned.shards, {
      refs,
      changed,
      leftOut: [...leftOut, ...unlearned.alsoLeftOut.map((alias) => ({ alias, version }))],
    }),
    erasure: started.erasure,
    claim,
  };
  const { state: now } = await context.runs.propose(tenant, id, (current) => {
    if (current.versions.some(({ erasure }) => erasure === started.erasure)) return [];
    if (current.versions.length !== before.version)
      throw LEARNING.RUN_CHANGED('the model has a newer version');
    return [newEvent(EVENT.modelTrained, fact, effectId(started.erasure, EVENT.modelTrained.type))];
  });
  await context.served.drop(before.name);
  const committed = now.versions.find(({ erasure }) => erasure === started.erasure);
  await destroyBefore(store, { ...model, run: { ...run, versions: now.versions } }, version);
  return committed?.claim ?? claim;
}

/**
 * The person was in the model and left it with somebody else, whose erasure found the records withheld: the claim is about that
 * version. It names the version and not the other erasure, so that one certificate says nothing of another person.
 */
function erasedEarlier(
  { run, version: current }: LoadedModel,
  spec: learning.ShardedEnsembleSpec,
  { version }: LeftOut,
): common.ArtefactClaim {
  const made = run.versions.find(({ model }) => model.version === version)?.claim;
  assert(made, 'a version that left somebody out was made by an erasure');
  return {
    ...claimOf(made.artefact, made.kind, made.method),
    claim: common.Claim.CLAIM_ERASED_EXACT,
    digestBefore: made.digestBefore,
    digestAfter: made.digestAfter,
    details: {
      erasedWith: `version ${version}`,
      stepsSubjects: '0',
      stepsCohort: '0',
      stepsRun: '0',
      subjectsInModel: '0',
      cohortInModel: '0',
      alsoLeftOut: '0',
      shardCount: String(spec.shardCount),
      sliceCount: String(spec.sliceCount),
      platformFingerprint: current.model.platformFingerprint,
    },
  };
}

async function unlearnFrom(
  context: LearningContext,
  { run }: LoadedModel,
  spec: learning.ShardedEnsembleSpec,
  started: events.ErasureStarted,
  { store, shards }: { readonly store: EnsembleStore; readonly shards: readonly ShardState[] },
): Promise<Unlearned | undefined> {
  const { peers } = context.deps;
  const dataset = await datasetSpec(peers, run.spec.root);
  const gone = new Set(started.subjects);
  const wanted = new Set(membersOf(shards).map(({ alias }) => alias));
  const records = await readRecords(peers, run.spec.root, { exclude: gone });
  return await unlearn({
    recipe: { spec, dataset },
    keys: await store.placementKeys(),
    shards,
    rows: await rowsOf(
      dataset,
      records.filter(({ alias }) => wanted.has(alias)),
    ),
    subjects: started.subjects,
    cohort: started.cohort,
    randomness: fromHex(started.seed),
    parallelism: context.settings.parallelism,
  });
}

/** Figures for the certificate: counts and settings, the same however often the erasure is delivered. */
function detailsOf(unlearned: Unlearned, spec: learning.ShardedEnsembleSpec): Record<string, string> {
  const resumed = [...unlearned.resumed].sort(([a], [b]) => a - b);
  return {
    stepsSubjects: String(unlearned.stepsSubjects),
    stepsCohort: String(unlearned.stepsCohort),
    stepsRun: String(unlearned.stepsRun),
    stepsFullRetrain: String(unlearned.stepsFullRetrain),
    subjectsApart: String(unlearned.apart),
    subjectsInModel: String(unlearned.subjectsInModel),
    cohortInModel: String(unlearned.cohortInModel),
    alsoLeftOut: String(unlearned.alsoLeftOut.length),
    shardCount: String(spec.shardCount),
    sliceCount: String(spec.sliceCount),
    shardsAffected: String(resumed.length),
    resumeSegments: resumed.map(([shard, segment]) => `${shard}:${segment}`).join(' '),
    platformFingerprint: fingerprint(),
  };
}

/** Checkpoints of the version before an erasure that no later version uses. Idempotent; cut short, it goes on where it stopped. */
async function destroyBefore(store: EnsembleStore, { run }: LoadedModel, version: number): Promise<void> {
  const old = run.versions.find(({ model }) => model.version === version - 1);
  const current = run.versions.find(({ model }) => model.version === version);
  if (!old || !current) return;
  const oldRefs = await store.refs(old.state).catch((error: unknown) => {
    // The manifest dies last: where it is gone, everything that it named is dead.
    if (error instanceof LetheError && error.status === 'NOT_FOUND') return undefined;
    throw error;
  });
  if (!oldRefs) return;
  const kept = new Set((await store.refs(current.state)).map(({ keyId }) => keyId));
  await store.destroy(
    old.state,
    oldRefs.filter(({ keyId }) => !kept.has(keyId)),
  );
}
