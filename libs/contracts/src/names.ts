import { defineErrors } from '@lethe/std';

export const CONTRACTS = defineErrors({
  BAD_RESOURCE_NAME: {
    code: 'LETHE-1101',
    status: 'INVALID_ARGUMENT',
    remedy: 'Write the name as the message documents it, for example tenants/acme/datasets/visits.',
  },
});

/** Collections and what their names look like (google.aip.dev/122). `{}` stands for one id. */
const PATTERNS = {
  tenant: ['tenants'],
  dataset: ['tenants', 'datasets'],
  datasetRoot: ['tenants', 'datasets', 'roots'],
  hashFunction: ['tenants', 'hashFunctions'],
  hashCheck: ['tenants', 'hashChecks'],
  trainingRun: ['tenants', 'trainingRuns'],
  model: ['tenants', 'models'],
  modelAlias: ['tenants', 'datasets', 'aliases'],
  federation: ['tenants', 'federations'],
  audit: ['tenants', 'audits'],
  erasureRequest: ['tenants', 'erasureRequests'],
} as const;

export type ResourceKind = keyof typeof PATTERNS;

/** One id in a resource name: lower case, digits and hyphens, 1 to 63 characters, also a legal NATS token. */
const ID = /^[a-z0-9][a-z0-9-]{0,62}$/;

export function checkId(id: string, what: string): string {
  if (!ID.test(id)) {
    throw CONTRACTS.BAD_RESOURCE_NAME(
      `${what} must be 1 to 63 lower-case letters, digits or hyphens, starting with a letter or digit`,
    );
  }
  return id;
}

/** `resourceName('dataset', 'acme', 'visits')` is `tenants/acme/datasets/visits`. */
export function resourceName(kind: ResourceKind, ...ids: readonly string[]): string {
  const collections = PATTERNS[kind];
  if (ids.length !== collections.length) {
    throw CONTRACTS.BAD_RESOURCE_NAME(`a ${kind} name has ${collections.length} ids, not ${ids.length}`);
  }
  return collections
    .map((collection, i) => `${collection}/${checkId(ids[i]!, `id of ${collection}`)}`)
    .join('/');
}

/** The ids in a name, tenant first. @throws LETHE-1101 when the text is not a name of that kind */
export function parseName(kind: ResourceKind, name: string): [string, ...string[]] {
  const collections = PATTERNS[kind];
  const parts = name.split('/');
  const fits =
    parts.length === collections.length * 2 &&
    collections.every((collection, i) => parts[2 * i] === collection && ID.test(parts[2 * i + 1]!));
  if (!fits) {
    throw CONTRACTS.BAD_RESOURCE_NAME(`expected ${collections.map((c) => `${c}/{id}`).join('/')}`);
  }
  return collections.map((_, i) => parts[2 * i + 1]!) as [string, ...string[]];
}

/** Tenant of any resource name, without judging the rest. */
export function tenantOf(name: string): string {
  const match = /^tenants\/([a-z0-9][a-z0-9-]{0,62})(\/|$)/.exec(name);
  if (!match) throw CONTRACTS.BAD_RESOURCE_NAME('a resource name starts with tenants/{tenant}');
  return match[1]!;
}

/** A party's model in the lineage of a person. @param federation its resource name */
export const partyArtefact = (federation: string, party: string): string => `${federation}/parties/${party}`;
