/** Which tenant a request is about: that of the resources which it names, and of nothing else that it carries. */
import { tenantOf } from '@lethe/contracts';
import { RPC } from './errors.ts';
import { type Identity, mayActIn } from './identity.ts';

/**
 * Fields of requests, at any depth, that hold a resource name. Every other text is the caller's own: an id of a person may well
 * read `tenants/x/y`, and whoever could be ingested under it must also be found and erased under it. A test walks the descriptors
 * and fails for a text field that nobody has classified.
 */
export const RESOURCE_FIELDS: ReadonlySet<string> = new Set([
  'audit',
  'dataset',
  'datasets',
  'erasure',
  'federation',
  'function',
  'model',
  'name',
  'parent',
  'root',
]);

/**
 * The one tenant that a message's resources lie in.
 *
 * @throws LETHE-2104 when the message names no resource, LETHE-2102 for a tenant that is not the caller's and for several tenants
 */
export function checkTenant(identity: Identity, message: unknown): string {
  const tenants = new Set<string>();
  collectTenants(message, false, tenants);
  if (tenants.size === 0) throw RPC.TENANT_MISSING('the request names no resource');
  for (const tenant of tenants) {
    if (!mayActIn(identity, tenant)) {
      throw RPC.PERMISSION_DENIED(`the credential is not for tenant ${tenant}`, { details: { tenant } });
    }
  }
  if (tenants.size > 1) throw RPC.PERMISSION_DENIED('the request names resources of several tenants');
  return [...tenants][0]!;
}

function collectTenants(value: unknown, isResource: boolean, into: Set<string>): void {
  if (typeof value === 'string') {
    if (isResource && value.startsWith('tenants/')) into.add(tenantOf(value));
  } else if (Array.isArray(value)) {
    for (const item of value) collectTenants(item, isResource, into);
  } else if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value)) {
    for (const [field, item] of Object.entries(value)) collectTenants(item, RESOURCE_FIELDS.has(field), into);
  }
}
