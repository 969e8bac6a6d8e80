/** Roots first: nothing is trained on a state of the data that the transparency log does not hold. */
import { statementBytes } from '@lethe/certificate';
import type { Lethe } from '@lethe/client';
import { parseName, resourceName } from '@lethe/contracts';
import { datasetOfRoot } from '@lethe/service';
import { hex, LetheError, sha256, sleep, timestamp } from '@lethe/std';
import { LEARNING } from '../errors.ts';

const POLL_MS = 200;

export interface LoggedRoot {
  readonly root: Uint8Array;
  readonly recordCount: number;
}

/** @param waitMs how long the log may take @throws LETHE-4305 it does not hold the root by then */
export async function loggedRoot(peers: Lethe, name: string, waitMs: number): Promise<LoggedRoot> {
  const { root, recordCount, createTime } = await peers.vault.getDatasetRoot({ name });
  const [tenant] = parseName('datasetRoot', name);
  const statement = statementBytes({
    type: 'dataset-root',
    version: 1,
    dataset: datasetOfRoot(name),
    root: hex(root),
    count: Number(recordCount),
    at: timestamp(createTime?.getTime() ?? 0),
  });
  const request = { parent: resourceName('tenant', tenant), statementDigest: hex(sha256(statement)) };
  for (let waitedMs = 0; ; waitedMs += POLL_MS) {
    try {
      await peers.erasure.getLogStatement(request);
      return { root, recordCount: Number(recordCount) };
    } catch (error) {
      if (!(error instanceof LetheError) || error.status !== 'NOT_FOUND') throw error;
      if (waitedMs >= waitMs) {
        throw LEARNING.ROOT_NOT_LOGGED('the transparency log does not hold the root', {
          details: { root: name },
          cause: error,
        });
      }
    }
    await sleep(POLL_MS);
  }
}
