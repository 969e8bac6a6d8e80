import type { Lethe } from '@lethe/client';
import { parseName, resourceName } from '@lethe/contracts';

/** Records under a committed root in order of ingestion, without the aliases to leave out. Positions are numbers. */
export interface OpenedRecord {
  readonly position: number;
  readonly alias: string;
  readonly recordId: string;
  readonly payload: Uint8Array;
}

export async function readRecords(
  peers: Lethe,
  root: string,
  options: { readonly afterPosition?: number; readonly exclude?: ReadonlySet<string> } = {},
): Promise<OpenedRecord[]> {
  const out: OpenedRecord[] = [];
  const request = { root, afterPosition: BigInt(options.afterPosition ?? 0) };
  for await (const record of peers.vault.readRecords(request)) {
    if (options.exclude?.has(record.subjectAlias)) continue;
    out.push({
      position: Number(record.position),
      alias: record.subjectAlias,
      recordId: record.recordId,
      payload: record.payload,
    });
  }
  return out;
}

/** Dataset of a root's name: `tenants/t/datasets/d/roots/1` → `tenants/t/datasets/d`. */
export function datasetOfRoot(root: string): string {
  const [tenant, dataset] = parseName('datasetRoot', root);
  return resourceName('dataset', tenant, dataset!);
}

/** Aliases of canaries that a training on this dataset must leave out. @param audit whose canaries it wants, or none */
export async function exclusions(peers: Lethe, root: string, audit = ''): Promise<Set<string>> {
  const { subjectAliases } = await peers.audit.listExclusions({ dataset: datasetOfRoot(root), audit });
  return new Set(subjectAliases);
}
