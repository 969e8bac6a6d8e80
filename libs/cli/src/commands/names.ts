import type { ResourceKind } from '@lethe/contracts';

/** A resource's full name from what the user typed: an id of the tenant, or the full name itself. @throws LETHE-1101 */
export async function fullName(kind: ResourceKind, tenant: string, typed: string): Promise<string> {
  const { parseName, resourceName } = await import('@lethe/contracts');
  if (!typed.includes('/')) return resourceName(kind, tenant, typed);
  parseName(kind, typed);
  return typed;
}

export async function parentName(tenant: string): Promise<string> {
  const { resourceName } = await import('@lethe/contracts');
  return resourceName('tenant', tenant);
}
