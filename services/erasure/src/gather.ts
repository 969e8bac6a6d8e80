import { parseName } from '@lethe/contracts';
import { AggregateStore, type Bus } from '@lethe/events';
import type { SealedArtefacts } from '@lethe/service';
import { type Clock, hex, isError, STD } from '@lethe/std';
import { type Material, neededStatements, parseReport, partyEvidence } from './domain/body.ts';
import { erasureAggregate, type Saga } from './domain/erasure.ts';
import { parseEvidence } from './domain/evidence.ts';
import {
  auditPart,
  auditRecord,
  type Facts,
  federationPart,
  hashPart,
  learningPart,
  vaultPart,
} from './domain/facts.ts';
import type { Situation } from './domain/policies.ts';
import { auditRegisteredStatement, erasureRequestedStatement } from './domain/statements.ts';
import { ERASURE } from './errors.ts';
import type { TransparencyLog } from './transparency-log.ts';

export interface Gathered extends Situation {
  /** Read once everything is erased. */
  readonly material: Material | undefined;
  /** Where the certificate's statements stand in the log, in the order of its body. */
  readonly statementIndexes: readonly number[];
}

/** Reads everything that a decision needs: the saga's own aggregate, the owners' and the audit's. */
export class Gatherer {
  readonly sagas;
  readonly #parts;
  readonly #log: TransparencyLog;
  readonly #artefacts: SealedArtefacts;

  constructor(
    deps: { readonly bus: Bus; readonly clock: Clock },
    log: TransparencyLog,
    artefacts: SealedArtefacts,
  ) {
    const options = { bus: deps.bus, source: 'erasure', clock: deps.clock };
    this.sagas = new AggregateStore(erasureAggregate, options);
    this.#parts = {
      vault: new AggregateStore(vaultPart, options),
      hash: new AggregateStore(hashPart, options),
      learning: new AggregateStore(learningPart, options),
      federation: new AggregateStore(federationPart, options),
      auditPart: new AggregateStore(auditPart, options),
      audit: new AggregateStore(auditRecord, options),
    };
    this.#log = log;
    this.#artefacts = artefacts;
  }

  async saga(tenant: string, id: string): Promise<Saga> {
    return (await this.sagas.load(tenant, id)).state;
  }

  /** What others have said about the erasure. */
  async facts(tenant: string, id: string): Promise<Facts> {
    const parts = this.#parts;
    const [vault, hash, learning, federation, audit] = await Promise.all([
      parts.vault.load(tenant, id),
      parts.hash.load(tenant, id),
      parts.learning.load(tenant, id),
      parts.federation.load(tenant, id),
      parts.auditPart.load(tenant, id),
    ]);
    const name = audit.state.contained?.data.audit ?? '';
    return {
      vault: vault.state,
      owners: { hash: hash.state, learning: learning.state, federation: federation.state },
      auditPart: audit.state,
      audit: name === '' ? {} : (await parts.audit.load(tenant, parseName('audit', name)[1]!)).state,
    };
  }

  async situation(tenant: string, id: string): Promise<Gathered> {
    const saga = await this.saga(tenant, id);
    const facts = await this.facts(tenant, id);
    const bare: Gathered = {
      saga,
      facts,
      requestRoot: undefined,
      material: undefined,
      statementIndexes: [],
      unlogged: [],
      unreadable: [],
    };
    if (saga.phase === 'contained') {
      return { ...bare, requestRoot: await this.#logRequest(tenant, saga, facts) };
    }
    if (saga.phase !== 'erased') return bare;
    try {
      const material = await this.#material(tenant, facts);
      const { indexes, unlogged } = neededStatements(material, await this.#log.load(tenant));
      return { ...bare, material, statementIndexes: indexes, unlogged };
    } catch (error) {
      if (!isError(error, ERASURE.EVIDENCE_MALFORMED) && !isError(error, STD.NOT_CANONICAL)) throw error;
      return { ...bare, unreadable: [`evidence that can be read: ${error.message}`] };
    }
  }

  async #material(tenant: string, facts: Facts): Promise<Material> {
    const evidence = facts.vault.destroyed?.data.evidence;
    if (!evidence) throw ERASURE.EVIDENCE_MALFORMED('the vault has named no evidence');
    const report = facts.audit.completed?.data.report;
    return {
      evidence: parseEvidence(await this.#artefacts.getPublic(tenant, evidence)),
      report: report && parseReport(await this.#artefacts.getPublic(tenant, report)),
      parties: partyEvidence(facts),
    };
  }

  /**
   * Appends the request's statement; the root over it and what stands before it never changes. The audit's registration must
   * stand before anything is erased: it is logged here too, in case its own consumer is late.
   */
  async #logRequest(tenant: string, { requested }: Saga, facts: Facts): Promise<string | undefined> {
    if (!requested) return undefined;
    const { registered } = facts.audit;
    if (registered) {
      const { data, timeMs } = registered;
      await this.#log.append(tenant, auditRegisteredStatement(data.audit, data, timeMs));
    }
    const statement = erasureRequestedStatement(requested.data, requested.timeMs);
    const index = await this.#log.append(tenant, statement);
    return hex(await this.#log.root(tenant, index + 1));
  }
}
