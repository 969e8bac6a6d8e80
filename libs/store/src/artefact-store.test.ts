import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ensurePlatformStreams, MemoryBus, STREAMS } from '@lethe/events';
import { hex, seededRandom, sha256 } from '@lethe/std';
import { ArtefactStore } from './artefact-store.ts';

const random = seededRandom('artefact');

test('an artefact is sealed, found by its address, opened by key and binding only, and gone after deletion', async () => {
  const bus = new MemoryBus();
  await ensurePlatformStreams(bus);
  const store = new ArtefactStore(bus);
  const key = random.bytes(32);
  const model = random.bytes(600_000);
  const stored = await store.put('acme', key, model, 'checkpoint/1');
  assert.equal(stored.digest, hex(sha256(model)));
  assert.deepEqual({ bytes: stored.bytes, sealed: stored.sealedBytes }, { bytes: 600_000, sealed: 600_031 });
  assert.deepEqual(await store.get('acme', key, stored.address, 'checkpoint/1'), model);
  await assert.rejects(store.get('acme', random.bytes(32), stored.address, 'checkpoint/1'), /LETHE-2206/);
  await assert.rejects(store.get('acme', key, stored.address, 'checkpoint/2'), /LETHE-2206/);
  for await (const chunk of bus.read(STREAMS.artefacts, 'lethe.artefacts.v1.>')) {
    assert.equal(Buffer.from(chunk.data).indexOf(model.subarray(0, 16)), -1, 'no plaintext on the bus');
  }
  const twin = await store.put('acme', key, model, 'checkpoint/1');
  assert.notEqual(twin.address, stored.address);
  assert.equal(await store.delete('acme', stored.address), true);
  assert.equal(await store.delete('acme', stored.address), false);
  await assert.rejects(store.get('acme', key, stored.address, 'checkpoint/1'), /LETHE-2014/);
  assert.deepEqual(await store.get('acme', key, twin.address, 'checkpoint/1'), model);
});
