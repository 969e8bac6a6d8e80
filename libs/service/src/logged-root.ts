/** Roots first: nothing is trained on a state of the data that the transparency log does not hold. */
import { type DatasetRootStatement, statementBytes } from '@lethe/certificate';
import type { Lethe } from '@lethe/client';
import { resourceName, tenantOf, type vault } from '@lethe/contracts';
import { type ErrorMaker, hex, LetheError, sha256, sleep, timestamp } from '@lethe/std';
import { datasetOfRoot } from './records.ts';

const POLL_MS = 200;

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
 * The root, once the transparency log holds its statement.
 * @param waitMs how long the log may take to catch up @param notLogged the caller's refusal: what to do next differs by service
 * @throws what `notLogged` makes when the log does not hold it by then
 */
export async function loggedRoot(
  peers: Lethe,
  name: string,
  waitMs: number,
  notLogged: ErrorMaker,
): Promise<vault.DatasetRoot> {
  const root = await peers.vault.getDatasetRoot({ name });
  const statementDigest = hex(sha256(statementBytes(rootStatement(root))));
  const parent = resourceName('tenant', tenantOf(name));
  for (const endMs = performance.now() + waitMs; ; await sleep(POLL_MS)) {
    try {
      await peers.erasure.getLogStatement({ parent, statementDigest });
      return root;
    } catch (error) {
      if (!(error instanceof LetheError) || error.status !== 'NOT_FOUND') throw error;
      if (performance.now() < endMs) continue;
      throw notLogged('the transparency log does not hold the root', {
        details: { root: name },
        cause: error,
      });
    }
  }
}
