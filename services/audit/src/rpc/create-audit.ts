import { audit, EVENT, parseName, resourceName } from '@lethe/contracts';
import { decodeSpec, requireWholeRecords } from '@lethe/datasets';
import { newEvent } from '@lethe/events';
import type { ServiceDeps } from '@lethe/service';
import { equalBytes, LetheError } from '@lethe/std';
import type { Audits } from '../audits.ts';
import type { AuditResource } from '../domain/resource.ts';
import { AUDIT } from '../errors.ts';
import { CANARY_COUNT } from '../settings.ts';
import { loadResource } from './load.ts';

/** Idempotent by audit_id and equal specification. */
export const createAudit =
  (audits: Audits, { peers }: ServiceDeps) =>
  async (request: audit.CreateAuditRequest): Promise<AuditResource> => {
    const [tenant] = parseName('tenant', request.parent);
    const name = resourceName('audit', tenant, request.auditId);
    const spec = checkSpec(tenant, request.spec);
    const existing = await audits.load(tenant, request.auditId);
    if (!existing.created) await checkDataset(peers, spec.dataset);
    const { state } = await audits.store.propose(tenant, request.auditId, (now) =>
      now.created ? [] : [newEvent(EVENT.auditCreated, { audit: name, spec })],
    );
    if (!isEqual(state.created?.data.spec, spec)) {
      throw AUDIT.AUDIT_EXISTS(`${name} exists with another specification`, { details: { audit: name } });
    }
    return await loadResource(audits, name);
  };

function checkSpec(tenant: string, spec: audit.AuditSpec | undefined): audit.AuditSpec {
  const refuse = (field: string, why: string) =>
    AUDIT.SPEC_INVALID(`${field} ${why}`, { details: { field } });
  if (!spec) throw refuse('spec', 'is missing');
  const owners = [parseName('dataset', spec.dataset)[0], parseName('model', spec.model)[0]];
  if (owners.some((owner) => owner !== tenant)) throw refuse('spec', 'names resources of another tenant');
  const { min, max } = CANARY_COUNT;
  if (spec.canaryCount < min || spec.canaryCount > max) {
    throw refuse('spec.canary_count', `must be ${min} to ${max}`);
  }
  return spec;
}

/** Everything that would stop the registration for good is found before it starts. */
async function checkDataset(peers: ServiceDeps['peers'], name: string): Promise<void> {
  try {
    const declared = decodeSpec((await peers.vault.getDataset({ name })).spec);
    // A canary is a record with one label for a model that reads whole records.
    requireWholeRecords(declared, 'an audit');
    const { label } = declared;
    if (label.classes.length < 2) {
      throw AUDIT.SPEC_INVALID('spec.dataset declares fewer than two classes: no label could be random', {
        details: { field: 'spec.dataset' },
      });
    }
  } catch (error) {
    if (!(error instanceof LetheError) || error.status !== 'NOT_FOUND') throw error;
    throw AUDIT.DATASET_UNKNOWN(`there is no dataset ${name}`, { cause: error });
  }
}

function isEqual(one: audit.AuditSpec | undefined, other: audit.AuditSpec): boolean {
  const encode = (spec: audit.AuditSpec): Uint8Array => audit.AuditSpec.encode(spec).finish();
  return one !== undefined && equalBytes(encode(one), encode(other));
}
