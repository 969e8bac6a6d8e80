import { statementBytes } from '@lethe/certificate';
import type { Lethe } from '@lethe/client';
import { resourceName, tenantOf } from '@lethe/contracts';
import { datasetOfRoot } from '@lethe/service';
import { hex, LetheError, sha256, sleep, timestamp } from '@lethe/std';
import { FEDERATION } from './errors.ts';

const POLL_MS = 250;

/**
 * Returns once the transparency log holds the root's statement: nothing is trained on records that are not committed to.
 * @throws LETHE-4107 it does not within `waitMs`
 */
export async function requireLoggedRoot(peers: Lethe, name: string, waitMs: number): Promise<void> {
  const root = await peers.vault.getDatasetRoot({ name });
  const statement = statementBytes({
    type: 'dataset-root',
    version: 1,
    dataset: datasetOfRoot(name),
    root: hex(root.root),
    count: Number(root.recordCount),
    at: timestamp(root.createTime?.getTime() ?? 0),
  });
  const request = { parent: resourceName('tenant', tenantOf(name)), statementDigest: hex(sha256(statement)) };
  for (const endMs = performance.now() + waitMs; ; await sleep(POLL_MS)) {
    try {
      await peers.erasure.getLogStatement(request);
      return;
    } catch (error) {
      if (!(error instanceof LetheError) || error.status !== 'NOT_FOUND') throw error;
      if (performance.now() >= endMs) {
        throw FEDERATION.ROOT_NOT_LOGGED('the transparency log does not hold the root', {
          details: { root: name },
          cause: error,
        });
      }
    }
  }
}
