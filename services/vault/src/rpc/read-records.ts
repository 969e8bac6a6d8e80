import type { vault } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import type { VaultContext } from '../context.ts';
import { openRecord } from '../sealing.ts';

/** Records under a root, opened. Suppressed subjects are left out from the moment their erasure was requested. */
export async function* readRecords(
  { datasets, records, keys, suppression }: VaultContext,
  request: vault.ReadRecordsRequest,
  signal: AbortSignal,
): AsyncGenerator<Partially<vault.Record>> {
  const { tenant, dataset, root } = await datasets.root(request.root);
  const opened = new Map<string, Uint8Array>();
  for await (const { record, sealed } of records.read(tenant, dataset, {
    after: Number(request.afterPosition),
    to: root.lastPosition,
  })) {
    if (signal.aborted) return;
    const { alias, position } = record;
    if (suppression.has(tenant, alias)) continue;
    const key = opened.get(alias) ?? keys.subject(tenant, alias);
    opened.set(alias, key);
    const { recordId, payload } = openRecord(key, tenant, dataset, alias, sealed);
    yield { position: BigInt(position), subjectAlias: alias, recordId, payload };
  }
}
