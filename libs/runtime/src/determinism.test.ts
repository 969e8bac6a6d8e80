import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { GraphBuilder, relu } from '@lethe/graph';
import { isError } from '@lethe/std';
import { trainedDigest } from './determinism.fixture.ts';
import { RUNTIME } from './errors.ts';
import { runtimeFingerprint } from './fingerprint.ts';
import { Session } from './session.ts';

test('the same bytes in give the same bytes out, over runs and over processes', async () => {
  const digest = await trainedDigest();
  assert.match(digest, /^[0-9a-f]{64}$/);
  assert.equal(await trainedDigest(), digest);
  const fixture = fileURLToPath(new URL('./determinism.fixture.ts', import.meta.url));
  for (let i = 0; i < 2; i++) {
    assert.equal(execFileSync(process.execPath, [fixture], { encoding: 'utf8' }), digest);
  }
});

test('a deterministic session refuses what would break it', async () => {
  const g = new GraphBuilder();
  g.output('y', relu(g.shared('x', [1])));
  const model = g.build();
  for (const options of [{ threads: 2 }, { executionProvider: 'cuda' }] as const) {
    await assert.rejects(Session.create(model, { ...options, deterministic: true }), (error) =>
      isError(error, RUNTIME.NOT_DETERMINISTIC),
    );
  }
  const session = await Session.create(model, { deterministic: true });
  await session.close();
});

test('CUDA is used where the runtime has it, else refused before any work, and is in the fingerprint', async () => {
  const g = new GraphBuilder();
  g.output('y', relu(g.shared('x', [1])));
  const model = g.build();
  const attempt = Session.create(model, { executionProvider: 'cuda' });
  const session = await attempt.catch((error: unknown) => {
    assert.ok(isError(error, RUNTIME.PROVIDER_MISSING), String(error));
    return undefined;
  });
  if (!session) {
    // A provider that is missing is no fault of the graph: a broken one is not looked at.
    const broken = { ...model, bytes: model.bytes.subarray(9) };
    await assert.rejects(Session.create(broken, { executionProvider: 'cuda' }), (error) =>
      isError(error, RUNTIME.PROVIDER_MISSING),
    );
  }
  await session?.close();
  assert.equal(runtimeFingerprint().executionProvider, 'cpu');
  assert.equal(runtimeFingerprint(1, 'cuda').executionProvider, 'cuda');
});
