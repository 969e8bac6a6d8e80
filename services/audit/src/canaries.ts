import { type ArmUnits, assignArms } from '@lethe/auditing';
import { type events, parseName, resourceName } from '@lethe/contracts';
import { decodeSpec } from '@lethe/datasets';
import type { ServiceDeps } from '@lethe/service';
import { canonicalJson, LetheError, parseCanonicalJson, utf8 } from '@lethe/std';
import { ArtefactStore } from '@lethe/store';
import type { AuditState } from './domain/audit.ts';
import {
  type CanaryId,
  type CanaryPattern,
  canaryIds,
  coinKey,
  type PlannedCanary,
  planCanaries,
  sealingKey,
} from './domain/plan.ts';
import { AUDIT } from './errors.ts';

const RESOLVES_IN_FLIGHT = 32;

/** A canary together with the alias that the vault gave it. */
export interface PlacedCanary extends PlannedCanary {
  readonly alias: string;
}

export type Advance = (done: number, total: number, phase: string) => void;

/** Canaries in the vault: made from the audit's seed key, ingested, resolved, and forgotten with the key. */
export class Canaries {
  readonly #deps: ServiceDeps;
  readonly #pattern: CanaryPattern;
  readonly #sealed: ArtefactStore;
  /** Arms of registered audits, by name: recomputing them costs an object and an HMAC per canary. */
  readonly #arms = new Map<string, ArmUnits>();

  constructor(deps: ServiceDeps, pattern: CanaryPattern) {
    this.#deps = deps;
    this.#pattern = pattern;
    this.#sealed = new ArtefactStore(deps.bus);
  }

  /** The seed: made by the vault at the first call, the same at each later one. */
  async createSeed(audit: string): Promise<Uint8Array> {
    const { parent, keyId } = keyOf(audit);
    return (await this.#deps.peers.vault.createArtefactKey({ parent, keyId })).key;
  }

  /** The seed of an audit that has one. Never makes one: after its death there must not be another. */
  async seed(audit: string): Promise<Uint8Array> {
    const { parent, keyId } = keyOf(audit);
    return (await this.#deps.peers.vault.getArtefactKey({ parent, keyId })).key;
  }

  /** @throws LETHE-2301 from the spec; the vault's for an unknown dataset */
  async plan(seed: Uint8Array, dataset: string, count: number): Promise<PlannedCanary[]> {
    const { spec } = await this.#deps.peers.vault.getDataset({ name: dataset });
    return planCanaries(seed, count, decodeSpec(spec), this.#pattern);
  }

  /** Like everyone else's records, through the same call. Records of an interrupted run are found, not doubled. */
  async ingest(audit: string, dataset: string, canaries: readonly PlannedCanary[]): Promise<void> {
    const { stored, duplicates, suppressed } = await this.#deps.peers.vault.ingest(
      ingestion(dataset, keyOf(audit).keyId, canaries),
    );
    if (Number(stored + duplicates) !== canaries.length) {
      throw AUDIT.CANARIES_NOT_STORED('the vault did not store every canary', {
        details: { stored: Number(stored), duplicates: Number(duplicates), suppressed: Number(suppressed) },
      });
    }
  }

  /** Aliases in the order of the ids; those that the vault does not know yet are left out. */
  async resolve(tenant: string, ids: readonly CanaryId[], advance: Advance = () => {}): Promise<string[]> {
    const parent = resourceName('tenant', tenant);
    const aliases: (string | undefined)[] = new Array(ids.length);
    let next = 0;
    const work = async (): Promise<void> => {
      for (let index = next++; index < ids.length; index = next++) {
        aliases[index] = await this.#aliasOf(parent, ids[index]!.subjectId);
        advance(index + 1, ids.length, 'resolving canaries');
      }
    };
    await Promise.all(Array.from({ length: RESOLVES_IN_FLIGHT }, work));
    return aliases.filter((alias) => alias !== undefined);
  }

  /** Keeps the aliases, in the order of the canaries: the vault no longer knows those of erased ones. */
  async keep(audit: string, seed: Uint8Array, aliases: readonly string[]): Promise<events.ArtefactRef> {
    const { tenant, keyId } = keyOf(audit);
    const bytes = utf8(canonicalJson(aliases));
    const stored = await this.#sealed.put(tenant, sealingKey(seed), bytes, binding(audit));
    return { object: stored.address, keyId, digest: stored.digest, sizeBytes: BigInt(stored.bytes) };
  }

  /** Arms of a registered audit. @throws when the seed key is dead */
  async arms(state: AuditState): Promise<ArmUnits> {
    const { audit, dataset } = named(state);
    const known = this.#arms.get(audit);
    if (known) return known;
    const seed = await this.seed(audit);
    const arms = assignArms(coinKey(seed), dataset, await this.#aliases(state, seed));
    this.#arms.set(audit, arms);
    return arms;
  }

  /** The own copies, with aliases: what is scored. @throws when the seed key is dead */
  async placed(state: AuditState): Promise<PlacedCanary[]> {
    const { audit, dataset, count } = named(state);
    const seed = await this.seed(audit);
    const aliases = await this.#aliases(state, seed);
    const plan = await this.plan(seed, dataset, count);
    return plan.map((canary, index) => ({ ...canary, alias: aliases[index]! }));
  }

  /** Aliases of an audit that has not been registered, as far as its canaries are in the vault by now. */
  async aliasesSoFar(state: AuditState): Promise<string[]> {
    const { audit, count } = named(state);
    try {
      return await this.resolve(keyOf(audit).tenant, canaryIds(await this.seed(audit), count));
    } catch (error) {
      // No seed yet, so no canary.
      if (error instanceof LetheError && error.status === 'NOT_FOUND') return [];
      throw error;
    }
  }

  /** Seed, coin key, patterns and aliases: all of it is gone after this. Idempotent. */
  async destroy(state: AuditState): Promise<void> {
    const { audit } = named(state);
    const { tenant, parent, keyId } = keyOf(audit);
    await this.#deps.peers.vault.destroyArtefactKeys({ parent, keyIds: [keyId] });
    const object = state.registered?.data.canaries?.object;
    if (object) await this.#sealed.delete(tenant, object);
    this.#arms.delete(audit);
  }

  async #aliases(state: AuditState, seed: Uint8Array): Promise<string[]> {
    const { audit } = named(state);
    const ref = state.registered?.data.canaries;
    if (!ref) throw AUDIT.NOT_REGISTERED(`${audit} is not registered`);
    const bytes = await this.#sealed.get(keyOf(audit).tenant, sealingKey(seed), ref.object, binding(audit));
    return parseCanonicalJson(bytes) as string[];
  }

  async #aliasOf(parent: string, subjectId: string): Promise<string | undefined> {
    try {
      return (await this.#deps.peers.vault.resolveSubject({ parent, subjectId })).alias;
    } catch (error) {
      if (error instanceof LetheError && error.status === 'NOT_FOUND') return undefined;
      throw error;
    }
  }
}

/** The one key of an audit. */
function keyOf(audit: string): { tenant: string; parent: string; keyId: string } {
  const [tenant, id] = parseName('audit', audit);
  return { tenant, parent: resourceName('tenant', tenant), keyId: `audit-seed-${id}` };
}

const binding = (audit: string): string => `lethe-audit-canaries-v1|${audit}`;

function named({ created }: AuditState): { audit: string; dataset: string; count: number } {
  const spec = created?.data.spec;
  if (!created || !spec) throw AUDIT.AUDIT_UNKNOWN('there is no such audit');
  return { audit: created.data.audit, dataset: spec.dataset, count: spec.canaryCount };
}

async function* ingestion(dataset: string, requestId: string, canaries: readonly PlannedCanary[]) {
  yield { message: { $case: 'header' as const, value: { dataset, requestId } } };
  for (const [index, { subjectId, recordId, payload }] of canaries.entries()) {
    yield {
      message: {
        $case: 'record' as const,
        value: { sequence: BigInt(index + 1), subjectId, recordId, payload },
      },
    };
  }
}
