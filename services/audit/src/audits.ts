import { type ArmUnits, assignArms, coinKeyHash, ruleDigest, THREE_ARM_RULE } from '@lethe/auditing';
import { type common, EVENT, type events, parseName } from '@lethe/contracts';
import { AggregateStore, effectId, newEvent } from '@lethe/events';
import { type Directory, directoryOf, isFinal, SealedArtefacts, type ServiceDeps } from '@lethe/service';
import { assert, canonicalJson, LetheError, utf8 } from '@lethe/std';
import { Canaries, type PlacedCanary } from './canaries.ts';
import { type AuditState, auditAggregate, auditPart, erasureFate, mayJoin } from './domain/audit.ts';
import { type CanaryPattern, coinKey } from './domain/plan.ts';
import {
  type AuditReport,
  type AuditSubject,
  decodeReport,
  encodeReport,
  marginsOf,
  refusedReport,
  scoredReport,
} from './domain/report.ts';
import { AUDIT } from './errors.ts';

/** Payloads in one call: a few megabytes at most with the largest payload that a dataset may declare. */
const PREDICT_BATCH_BYTES = 4 * 1024 * 1024;
const PREDICT_BATCH_MAX = 256;

const NOBODY: ArmUnits = { out: [], keep: [], delete: [] };

/** The steps of an audit. Each may run again after a crash and then finds what it has done. */
export class Audits {
  readonly directory: Directory;
  readonly store;
  readonly #parts;
  readonly #fates;
  readonly #canaries: Canaries;
  readonly #artefacts: SealedArtefacts;
  readonly #deps: ServiceDeps;
  /** Of work that this process is doing. */
  readonly #progress = new Map<string, common.Progress>();

  constructor(deps: ServiceDeps, pattern: CanaryPattern) {
    const options = { bus: deps.bus, source: 'audit', clock: deps.clock };
    this.store = new AggregateStore(auditAggregate, options);
    this.#parts = new AggregateStore(auditPart, options);
    this.#fates = new AggregateStore(erasureFate, options);
    this.directory = directoryOf(deps.bus, auditAggregate.type);
    this.#canaries = new Canaries(deps, pattern);
    this.#artefacts = new SealedArtefacts(deps);
    this.#deps = deps;
  }

  async load(tenant: string, id: string): Promise<AuditState> {
    return (await this.store.load(tenant, id)).state;
  }

  progress(audit: string): common.Progress | undefined {
    return this.#progress.get(audit);
  }

  /** The report's bytes; none before the audit has ended. */
  async result(tenant: string, { completed }: AuditState): Promise<Uint8Array> {
    const report = completed?.data.report;
    return report ? await this.#artefacts.getPublic(tenant, report) : new Uint8Array();
  }

  /** Ingests the canaries and fixes rule and coin key. A failure that will not pass ends the audit as REFUSED. */
  async register(tenant: string, id: string): Promise<void> {
    const state = await this.load(tenant, id);
    const { created } = state;
    if (!created?.data.spec || state.registered || state.completed) return;
    const { audit } = created.data;
    const { dataset, canaryCount } = created.data.spec;
    try {
      const seed = await this.#canaries.createSeed(audit);
      const plan = await this.#canaries.plan(seed, dataset, canaryCount);
      this.#show(audit, 0, canaryCount, 'ingesting canaries');
      await this.#canaries.ingest(audit, dataset, plan);
      const aliases = await this.#canaries.resolve(tenant, plan, (...at) => this.#show(audit, ...at));
      if (aliases.length !== plan.length) {
        throw AUDIT.CANARIES_NOT_STORED('the vault does not know every canary', {
          details: { canaries: plan.length, known: aliases.length },
        });
      }
      const arms = assignArms(coinKey(seed), dataset, aliases);
      const registered: events.AuditRegistered = {
        audit,
        coinKeyHash: coinKeyHash(coinKey(seed)),
        rule: utf8(canonicalJson(THREE_ARM_RULE)),
        ruleDigest: ruleDigest(THREE_ARM_RULE),
        outCount: arms.out.length,
        keepCount: arms.keep.length,
        deleteCount: arms.delete.length,
        canaries: await this.#canaries.keep(audit, seed, aliases),
      };
      await this.store.propose(tenant, id, (now) =>
        now.registered || now.completed
          ? []
          : [newEvent(EVENT.auditRegistered, registered, effectId(created.id, EVENT.auditRegistered.type))],
      );
    } catch (error) {
      // Not destroyed then: the canaries that are in the vault stay out of trainings, and the seed says which they are.
      await this.#refuse(tenant, id, subjectOf(state, ''), error, NOBODY);
    } finally {
      this.#progress.delete(audit);
    }
  }

  /** Sends the DELETE canaries of the oldest free audit of the person's data sets along. */
  async contain(
    tenant: string,
    id: string,
    request: events.ErasureRequested,
    causeId: string,
  ): Promise<void> {
    if ((await this.#parts.load(tenant, id)).state.contained) return;
    const joined = await this.#release(tenant, request, causeId);
    const contained: events.OwnerContained = {
      erasure: request.erasure,
      owner: 'audit',
      artefacts: [],
      cohort: joined?.aliases ?? [],
      audit: joined?.audit ?? '',
    };
    await this.#parts.propose(tenant, id, (now) =>
      now.contained
        ? []
        : [newEvent(EVENT.auditContained, contained, effectId(causeId, EVENT.auditContained.type))],
    );
  }

  async #release(
    tenant: string,
    request: events.ErasureRequested,
    causeId: string,
  ): Promise<events.AuditCohortReleased | undefined> {
    for (const { id } of await this.directory.ofTenant(tenant)) {
      const state = await this.load(tenant, id);
      const failed = await this.#failedUser(tenant, state);
      if (!mayJoin(state, request, failed) || !(await this.#hasModel(state))) continue;
      const released: events.AuditCohortReleased = {
        audit: subjectOf(state, '').audit,
        erasure: request.erasure,
        aliases: [...(await this.#canaries.arms(state)).delete],
      };
      // Two erasures may want the same audit: the fold gives it to one of them.
      const { state: after } = await this.store.propose(tenant, id, (now) =>
        now.released?.erasure === request.erasure || !mayJoin(now, request, failed)
          ? []
          : [
              newEvent(
                EVENT.auditCohortReleased,
                released,
                effectId(causeId, EVENT.auditCohortReleased.type),
              ),
            ],
      );
      if (after.released?.erasure === request.erasure) return after.released;
    }
    return undefined;
  }

  /** Name of the erasure that the canaries were released to, if it has failed; else empty. */
  async #failedUser(tenant: string, { released }: AuditState): Promise<string> {
    if (!released) return '';
    const { state } = await this.#fates.load(tenant, parseName('erasureRequest', released.erasure)[1]!);
    return state.failed ? released.erasure : '';
  }

  /** Canaries can be used once: an audit whose model was never trained is kept for a later erasure. */
  async #hasModel(state: AuditState): Promise<boolean> {
    try {
      await this.#deps.peers.learning.getModel({ name: subjectOf(state, '').model });
      return true;
    } catch (error) {
      return !(error instanceof LetheError && error.status === 'NOT_FOUND');
    }
  }

  /** Scores the three arms on the model as the erasure has left it, reports, and lets the own copies die. */
  async complete(tenant: string, id: string, erasure: string): Promise<void> {
    const state = await this.load(tenant, id);
    if (state.completed) return await this.forget(tenant, id);
    if (!state.registered || state.released?.erasure !== erasure) return;
    const subject = subjectOf(state, erasure);
    const units = await this.#canaries.arms(state);
    try {
      const scores = await this.#score(subject, await this.#canaries.placed(state));
      const report = scoredReport({
        ...subject,
        rule: THREE_ARM_RULE,
        coinKeyHash: state.registered.data.coinKeyHash,
        coinKey: coinKey(await this.#canaries.seed(subject.audit)),
        units,
        scores,
      });
      await this.#commit(tenant, id, report);
    } catch (error) {
      await this.#refuse(tenant, id, subject, error, units);
    } finally {
      this.#progress.delete(subject.audit);
    }
    await this.forget(tenant, id);
  }

  /** Destroys the seed of a completed audit and says so; at every start until it is done. */
  async forget(tenant: string, id: string): Promise<void> {
    const state = await this.load(tenant, id);
    const { registered, completed } = state;
    if (!registered || !completed || completed.data.canaryKeyDestroyed) return;
    await this.#canaries.destroy(state);
    const done = { ...completed.data, canaryKeyDestroyed: true };
    await this.store.propose(tenant, id, (now) =>
      now.completed?.data.canaryKeyDestroyed
        ? []
        : [newEvent(EVENT.auditCompleted, done, `${done.audit}:canary-key-destroyed`)],
    );
  }

  /** Aliases that a training on the dataset leaves out. @param wanted audit whose KEEP and DELETE are trained; or empty */
  async exclusions(tenant: string, dataset: string, wanted: string): Promise<string[]> {
    const out: string[] = [];
    let found = wanted === '';
    for (const { id } of await this.directory.ofTenant(tenant)) {
      const state = await this.load(tenant, id);
      if (state.created?.data.spec?.dataset !== dataset) continue;
      const isWanted = state.created.data.audit === wanted;
      found ||= isWanted;
      if (isWanted && !state.registered) throw AUDIT.NOT_REGISTERED(`${wanted} is not registered`);
      const arms = await this.#unitsOf(tenant, state);
      out.push(...arms.out, ...(isWanted ? [] : [...arms.keep, ...arms.delete]));
    }
    if (!found) throw AUDIT.AUDIT_UNKNOWN(`${dataset} has no audit ${wanted}`);
    return out;
  }

  async #unitsOf(tenant: string, state: AuditState): Promise<ArmUnits> {
    const report = state.completed?.data.report;
    if (!state.registered) return { ...NOBODY, out: await this.#canaries.aliasesSoFar(state) };
    if (!report) return await this.#canaries.arms(state);
    return decodeReport(await this.#artefacts.getPublic(tenant, report)).units;
  }

  async #score(
    { audit, model }: AuditSubject,
    canaries: readonly PlacedCanary[],
  ): Promise<Map<string, number>> {
    const scores = new Map<string, number>();
    const payloadBytes = canaries[0]?.payload.length ?? 1;
    const size = Math.max(1, Math.min(PREDICT_BATCH_MAX, Math.floor(PREDICT_BATCH_BYTES / payloadBytes)));
    for (let at = 0; at < canaries.length; at += size) {
      this.#show(audit, at, canaries.length, 'scoring canaries');
      const batch = canaries.slice(at, at + size);
      const { logits, classes } = await this.#deps.peers.learning.predict({
        name: model,
        payloads: batch.map((canary) => canary.payload),
        subjectAliases: batch.map((canary) => canary.alias),
      });
      const labels = batch.map((canary) => canary.label);
      for (const [row, margin] of marginsOf(logits, classes, labels).entries()) {
        scores.set(batch[row]!.alias, margin);
      }
    }
    return scores;
  }

  /** Rethrows what may pass. */
  async #refuse(
    tenant: string,
    id: string,
    subject: AuditSubject,
    error: unknown,
    units: ArmUnits,
  ): Promise<void> {
    if (!isFinal(error)) throw error;
    this.#deps.logger.warn('an audit is refused', { tenant, audit: subject.audit, error });
    await this.#commit(tenant, id, refusedReport(subject, error.message, units));
  }

  async #commit(tenant: string, id: string, report: AuditReport): Promise<void> {
    const completed: events.AuditCompleted = {
      audit: report.audit,
      erasure: report.erasure,
      verdict: report.verdict,
      report: await this.#artefacts.putPublic(tenant, encodeReport(report)),
      canaryKeyDestroyed: false,
    };
    await this.store.propose(tenant, id, (now) =>
      now.completed ? [] : [newEvent(EVENT.auditCompleted, completed, `${report.audit}:completed`)],
    );
  }

  #show(audit: string, done: number, total: number, phase: string): void {
    this.#progress.set(audit, { done: BigInt(done), total: BigInt(total), phase });
  }
}

function subjectOf({ created }: AuditState, erasure: string): AuditSubject {
  const spec = created?.data.spec;
  assert(created && spec, 'an audit exists from its creation on');
  return { audit: created.data.audit, erasure, dataset: spec.dataset, model: spec.model };
}

/** @param name tenants/{tenant}/audits/{audit} */
export const auditAddress = (name: string): { tenant: string; id: string } => {
  const [tenant, id] = parseName('audit', name);
  return { tenant, id: id! };
};
