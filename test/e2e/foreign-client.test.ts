/**
 * A client that shares no code with us: `buf curl` learns the services by reflection, creates a data set, ingests, searches,
 * requests an erasure and reads it.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Role, resourceName } from '@lethe/contracts';
import { base64 } from '@lethe/std';
import { startPlatform, TENANT, tokenOf, withDirectory } from './support-small/platform.ts';
import { HASH_OPTIONS, questionOf, READINGS, SPEC_BYTES, sent } from './support-small/sensors.ts';

const run = promisify(execFile);
const BUF = fileURLToPath(new URL('../../node_modules/.bin/buf', import.meta.url));
const parent = resourceName('tenant', TENANT);
const dataset = resourceName('dataset', TENANT, 'sensors');

type Json = Record<string, unknown>;

function listIn(answer: Json | undefined, field: string): readonly unknown[] {
  const list = answer?.[field];
  return Array.isArray(list) ? list : [];
}

test('buf curl goes through reflection, health, ingestion, search and an erasure', async () => {
  await withDirectory(async (directory) => {
    const running = await startPlatform(directory);
    const base = `http://${running.host.address}`;
    /** @returns the messages of the answer */
    const call = async (
      role: Role | 'nobody',
      method: string,
      ...messages: readonly Json[]
    ): Promise<Json[]> => {
      const header =
        role === 'nobody' ? [] : ['--header', `authorization: Bearer ${tokenOf(directory, role)}`];
      const data = messages.map((message) => JSON.stringify(message)).join('\n');
      const { stdout } = await run(
        BUF,
        [
          'curl',
          '--protocol',
          'grpc',
          '--http2-prior-knowledge',
          ...header,
          '--data',
          data,
          `${base}/${method}`,
        ],
        { maxBuffer: 16 * 1024 * 1024 },
      );
      // One JSON value after the other.
      return stdout.trim() === ''
        ? []
        : (JSON.parse(`[${stdout.trim().replace(/\}\s*\{/g, '},{')}]`) as Json[]);
    };
    try {
      const { stdout: services } = await run(BUF, [
        'curl',
        '--protocol',
        'grpc',
        '--http2-prior-knowledge',
        '--list-methods',
        base,
      ]);
      for (const part of ['vault', 'hashing', 'learning', 'federation', 'audit', 'erasure'])
        assert.ok(services.includes(`lethe.${part}.v1.`), `reflection lists ${part}: ${services}`);
      for (const service of ['', 'lethe.vault.v1.VaultService', 'lethe.erasure.v1.ErasureService']) {
        const [answer] = await call('nobody', 'grpc.health.v1.Health/Check', { service });
        assert.equal(answer?.status, 'SERVING', service);
      }

      const made = await call('client', 'lethe.vault.v1.VaultService/CreateDataset', {
        parent,
        datasetId: 'sensors',
        spec: base64(SPEC_BYTES),
        requestId: 'create',
      });
      assert.equal(made[0]?.name, dataset);
      const records = READINGS.slice(0, 80).map((reading, i) => {
        const { payload, ...ids } = sent(reading);
        return { record: { sequence: String(i + 1), ...ids, payload: base64(payload) } };
      });
      const [stored] = await call(
        'client',
        'lethe.vault.v1.VaultService/Ingest',
        { header: { dataset } },
        ...records,
      );
      assert.equal(stored?.stored, '80');
      const [root] = await call('client', 'lethe.vault.v1.VaultService/CommitDatasetRoot', {
        dataset,
        requestId: 'root',
      });
      const name = resourceName('hashFunction', TENANT, 'sensors');
      await call('client', 'lethe.hashing.v1.HashingService/CreateHashFunction', {
        parent,
        functionId: 'sensors',
        spec: { root: root?.name, ...HASH_OPTIONS },
      });
      // A stream of answers: it ends when nothing is being learned.
      const states = await call('client', 'lethe.hashing.v1.HashingService/WatchHashFunction', { name });
      assert.equal(states.at(-1)?.state, 'STATE_SERVING');
      const query = { name, payload: base64(questionOf(READINGS[0]!)), k: 80 };
      const found = async (): Promise<number> => {
        const [answer] = await call('client', 'lethe.hashing.v1.HashingService/Search', query);
        return listIn(answer, 'neighbours').length;
      };
      assert.equal(await found(), 80);

      const [requested] = await call('auditor', 'lethe.erasure.v1.ErasureService/CreateErasureRequest', {
        parent,
        subjectId: READINGS[0]!.subjectId,
        requestId: 'forget-me',
        policy: 'gdpr-art-17',
      });
      const erasure = (requested?.erasureRequest as Json | undefined)?.name;
      const seen = await call('auditor', 'lethe.erasure.v1.ErasureService/WatchErasureRequest', {
        name: erasure,
      });
      assert.equal(seen.at(-1)?.state, 'STATE_CERTIFIED');
      const [read] = await call('auditor', 'lethe.erasure.v1.ErasureService/GetErasureRequest', {
        name: erasure,
      });
      assert.equal(read?.state, 'STATE_CERTIFIED');
      assert.ok(listIn(read, 'claims').length >= 2);
      assert.equal(await found(), 76);

      // Errors are google.rpc.Status with details that any client can read.
      await assert.rejects(
        call('client', 'lethe.erasure.v1.ErasureService/GetErasureRequest', { name: erasure }),
        (error: Error & { stderr: string }) =>
          /permission_denied/.test(error.stderr) && /LETHE-2102/.test(error.stderr),
      );
      await assert.rejects(
        call('client', 'lethe.vault.v1.VaultService/GetDataset', { name: `${dataset}-none` }),
        (error: Error & { stderr: string }) => {
          assert.match(error.stderr, /not_found/);
          assert.match(error.stderr, /LETHE-4001/);
          assert.match(error.stderr, /google\.rpc\.ErrorInfo/);
          return true;
        },
      );
    } finally {
      await running.close();
    }
  });
});
