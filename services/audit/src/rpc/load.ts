import { type Audits, auditAddress } from '../audits.ts';
import { type AuditResource, toResource } from '../domain/resource.ts';
import { AUDIT } from '../errors.ts';

/** @throws LETHE-4401 */
export async function loadResource(audits: Audits, name: string): Promise<AuditResource> {
  const { tenant, id } = auditAddress(name);
  const state = await audits.load(tenant, id);
  if (!state.created) throw AUDIT.AUDIT_UNKNOWN(`there is no audit ${name}`);
  return toResource(state, audits.progress(name), await audits.result(tenant, state));
}
