import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { hashing } from '@lethe/contracts';
import { LetheError } from '@lethe/std';
import { closeAll, FUNCTION, FUNCTION_SPEC, makeRecords, TENANT, World } from '../fixture.ts';
import { addressOf } from '../functions.ts';
import { encode } from './encode.ts';
import { getInclusionProof } from './get-inclusion-proof.ts';
import { predict } from './predict.ts';
import { search } from './search.ts';

afterEach(closeAll);

const RECORDS = makeRecords('a', 30, [0, 1]);
const coded = (code: string) => (error: unknown) => error instanceof LetheError && error.code === code;

async function served() {
  const world = await World.with(...RECORDS);
  const { api } = await world.service();
  await api.create();
  await api.settled();
  const context = world.context();
  const { learned } = await context.functions.serving(addressOf(TENANT, 'shapes'));
  return { world, api, context, learned };
}

const asked = (conditions: Partial<hashing.SearchRequest>) =>
  hashing.SearchRequest.fromPartial({
    name: FUNCTION,
    query: { $case: 'code', value: new Uint8Array(2) },
    ...conditions,
  });

test('a radius that holds everything costs no more than its k, and says exactly whether there is more', async () => {
  const { context, learned } = await served();
  learned.index.range = () => assert.fail('all items within the radius were collected');
  const nearest = await search(context, asked({ k: 1_000 }));
  const within = (radius: number) => nearest.neighbours!.filter(({ distance }) => distance! <= radius);
  for (const radius of [0, 5, 8, 16]) {
    const count = within(radius).length;
    for (const k of [1, count - 1, count, count + 1].filter((n) => n > 0)) {
      const { neighbours, truncated } = await search(context, asked({ k, radius }));
      assert.deepEqual(neighbours, within(radius).slice(0, k), `k ${k}, radius ${radius}`);
      assert.equal(truncated, count > k, `k ${k} of ${count}`);
    }
  }
  assert.equal(within(16).length, RECORDS.length);
});

test('answers that come due together let others have their turn between them', async () => {
  const { context } = await served();
  let turns = 0;
  let counting = true;
  const count = (): void => {
    turns++;
    if (counting) setImmediate(count);
  };
  setImmediate(count);
  await Promise.all(Array.from({ length: 50 }, () => search(context, asked({ k: 5 }))));
  counting = false;
  assert.ok(turns >= 50, `50 searches, ${turns} turns of the event loop`);
});

test('a long prediction is interrupted by whoever else asks', async () => {
  const { context, learned } = await served();
  const { search: found } = learned;
  learned.search = (...args) => {
    const endMs = performance.now() + 5;
    while (performance.now() < endMs);
    return found.apply(learned, args);
  };
  let isDone = false;
  const payloads = Array.from({ length: 60 }, () => RECORDS[0]!.payload);
  const predicted = predict(context, { name: FUNCTION, payloads, k: 3, modality: '' }).then((answer) => {
    isDone = true;
    return answer;
  });
  let others = 0;
  for (; !isDone && others < 1_000; others++)
    await encode(context, { name: FUNCTION, payload: RECORDS[1]!.payload, modality: '' });
  assert.ok(others >= 8 && others < 1_000, `${others} encodings while 60 labels of 5 ms were made`);
  assert.deepEqual((await predicted).labels, Array<number>(60).fill(0));
});

test('numbers that are none are refused where numbers are wanted', async () => {
  const { api, context } = await served();
  for (const lambda of [Number.NaN, Number.POSITIVE_INFINITY, -1, 1e-300, 0.99, 1.01e12, 1e308])
    await assert.rejects(api.create({ ...FUNCTION_SPEC, lambda }), coded('LETHE-4207'), `lambda ${lambda}`);
  for (const epsilon of [Number.NaN, Number.POSITIVE_INFINITY, -1, 1.01])
    await assert.rejects(
      api.create({ ...FUNCTION_SPEC, gate: { epsilon, require: false, reportOnly: false } }),
      coded('LETHE-4207'),
      `epsilon ${epsilon}`,
    );
  for (const falseAlarms of [Number.NaN, -0.1, 1])
    await assert.rejects(api.check('c', { kind: 2, falseAlarms }), coded('LETHE-4207'), `${falseAlarms}`);
  for (const version of [0, 2, 99])
    await assert.rejects(
      search(
        context,
        asked({ k: 1, filter: hashing.SearchFilter.fromPartial({ functionVersions: [version] }) }),
      ),
      coded('LETHE-4207'),
    );
});

test("a contained person's leaf and an erased one are refused as if they had never been", async () => {
  const { world, api, context, learned } = await served();
  const [mine] = learned.index.itemsOf('a4');
  const [other] = learned.index.itemsOf('a5');
  const proof = async (itemId: Uint8Array) => await getInclusionProof(context, { name: FUNCTION, itemId });
  assert.equal((await proof(mine!)).leafHash?.length, 32);
  const never = await proof(new Uint8Array(16)).catch((error: LetheError) => error);
  assert.ok(coded('LETHE-3408')(never));
  const isRefused = (error: LetheError): boolean =>
    coded('LETHE-3408')(error) && error.message === (never as LetheError).message;
  await world.request('a4');
  await world.contained();
  await context.follower.fresh();
  await assert.rejects(proof(mine!), isRefused);
  world.suppressed.add('a4');
  await world.startErasure('a4');
  await world.erased();
  const { appliedSequence } = await api.get();
  await context.functions.serving(addressOf(TENANT, 'shapes'), appliedSequence);
  await assert.rejects(proof(mine!), isRefused);
  assert.equal((await proof(other!)).leafHash?.length, 32);
});
