import type { DatasetRootStatement } from '@lethe/certificate';
import { statementBytes } from '@lethe/certificate';
import type { Lethe } from '@lethe/client';
import { resourceName, tenantOf, type vault } from '@lethe/contracts';
import { datasetOfRoot } from '@lethe/service';
import { hex, LetheError, sha256, sleep, timestamp } from '@lethe/std';
import { HASHING_SERVICE } from './errors.ts';

const POLL_MS = 250;

/** What the transparency log says about a root. */
export function rootStatement(root: vault.DatasetRoot): DatasetRootStatement {
  return {
    type: 'dataset-root',
    version: 1,
    dataset: datasetOfRoot(root.name),
    root: hex(root.root),
    count: Number(root.recordCount),
    at: timestamp(root.createTime?.getTime() ?? 0),
  };
}

/**
 * The root, once the transparency log holds its statement: nothing learns from records that are not committed to in public.
 * @param waitMs how long the log may take to catch up  @throws LETHE-4206 it does not hold the root
 */
export async function loggedRoot(peers: Lethe, name: string, waitMs: number): Promise<vault.DatasetRoot> {
  const root = await peers.vault.getDatasetRoot({ name });
  const statementDigest = hex(sha256(statementBytes(rootStatement(root))));
  const parent = resourceName('tenant', tenantOf(name));
  const endMs = performance.now() + waitMs;
  for (;;) {
    try {
      await peers.erasure.getLogStatement({ parent, statementDigest });
      return root;
    } catch (error) {
      if (!(error instanceof LetheError) || error.status !== 'NOT_FOUND') throw error;
      if (performance.now() >= endMs) {
        throw HASHING_SERVICE.ROOT_NOT_LOGGED('the transparency log does not hold the root', {
          details: { root: name },
          cause: error,
        });
      }
    }
    await sleep(POLL_MS);
  }
}
