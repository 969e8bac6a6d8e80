import { parseName, resourceName, type vault } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { aliasOf } from '../aliases.ts';
import type { VaultContext } from '../context.ts';
import { VAULT } from '../errors.ts';

/** @throws LETHE-4009 for a subject of whom nothing was ever stored */
export async function resolveSubject(
  { datasets, records, keys, suppression }: VaultContext,
  request: vault.ResolveSubjectRequest,
): Promise<Partially<vault.Subject>> {
  const [tenant] = parseName('tenant', request.parent);
  if (request.subjectId === '') {
    throw VAULT.REQUEST_INVALID('subject_id is empty', { details: { field: 'subject_id' } });
  }
  const alias = aliasOf(keys.tenant(tenant), request.subjectId);
  const holders: string[] = [];
  let recordCount = 0;
  for (const id of await datasets.list(tenant)) {
    const here = await records.countOf(tenant, id, alias);
    if (here > 0) holders.push(resourceName('dataset', tenant, id));
    recordCount += here;
  }
  const suppressed = suppression.has(tenant, alias);
  if (recordCount === 0 && !suppressed) throw VAULT.SUBJECT_UNKNOWN('nothing is stored of this subject');
  return { alias, recordCount: BigInt(recordCount), datasets: holders, suppressed };
}
