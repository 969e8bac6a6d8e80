import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GaussianStream, noiseGrid, PRIVACY, PrivacyRandomness } from '@lethe/privacy';
import { isError, secureRandom, seededRandom } from '@lethe/std';
import { RUNTIME } from './errors.ts';
import { NoiseWorker } from './noise-worker.ts';

const lengths = [5000, 0, 17];
const grid = noiseGrid(1, 1.1, 5017);
const research = (): PrivacyRandomness => new PrivacyRandomness('research', seededRandom('noise-worker'));
const start = (ahead = 2): NoiseWorker => NoiseWorker.start({ randomness: research(), grid, lengths, ahead });

test('the blocks are the noise of the key, step by step, whatever is made ahead', async () => {
  for (const ahead of [1, 3]) {
    const worker = start(ahead);
    const here = new GaussianStream(research());
    for (let step = 0; step < 12; step++) {
      const expected = lengths.map((length) => new Float32Array(length));
      here.fill(step, grid, expected);
      assert.deepEqual(await worker.next(step), expected, `step ${step}`);
    }
    await worker.close();
  }
});

test('noise is never reused: a step comes once and in order, and the block of the step before is gone', async () => {
  const worker = start();
  const refused = (error: unknown): boolean => isError(error, PRIVACY.NOISE_REUSED);
  const [first] = await worker.next(0);
  await assert.rejects(worker.next(0), refused);
  await assert.rejects(worker.next(2), refused);
  assert.equal(first!.length, 5000, 'a refusal takes nothing away');
  const waiting = worker.next(1);
  assert.equal(first!.length, 0, 'detached: a kept view is empty, not the noise of another step');
  await assert.rejects(worker.next(2), refused, 'one caller at a time');
  assert.equal((await waiting)[0]!.length, 5000);
  await worker.close();
});

test('two workers of a secure source share no noise', async () => {
  const secure = new PrivacyRandomness('production', secureRandom());
  const [a, b] = [1, 2].map(() => NoiseWorker.start({ randomness: secure, grid, lengths }));
  const [x, y] = [(await a!.next(0))[0]!, (await b!.next(0))[0]!];
  let equal = 0;
  for (let i = 0; i < x.length; i++) if (x[i] === y[i]) equal++;
  assert.ok(equal < 10, `${equal} of 5000 values agree`);
  await Promise.all([a!.close(), b!.close()]);
});

test('a thread that dies ends the run with a code, for the caller that waits and for every later one', async () => {
  const worker = NoiseWorker.start({ randomness: research(), grid, lengths: [2 ** 40] });
  const lost = (error: unknown): boolean => isError(error, RUNTIME.NOISE_LOST);
  await assert.rejects(worker.next(0), lost);
  await assert.rejects(worker.next(1), lost);
  await worker.close();
});

test('closing refuses the caller that waits and every later one, and may happen twice', async () => {
  const worker = start();
  const closed = (error: unknown): boolean => isError(error, RUNTIME.CLOSED);
  const waiting = assert.rejects(worker.next(0), closed);
  await worker.close();
  await waiting;
  await assert.rejects(worker.next(1), closed);
  await worker.close();
});
