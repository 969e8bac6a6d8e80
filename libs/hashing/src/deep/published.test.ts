/** The baseline does what was published, also where that is a mistake: (e), (f) and (g) show in its results, (a) to (d) stand in its graph. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { onnxEngine } from '@lethe/runtime';
import { hex } from '@lethe/std';
import { tensorsDigest } from '@lethe/tensor';
import { deepCodes } from './networks.ts';
import {
  incrementPublished,
  PUBLISHED_OPTIONS,
  type PublishedRun,
  publishedDatabaseCodes,
  trainPublished,
} from './published.ts';
import { syntheticItems } from './synthetic.fixture.ts';

const K = 32;
const world = { classes: 6, widths: { image: 24, text: 16 }, noise: 0.4 };
const run: PublishedRun = {
  spec: {
    codeBits: K,
    hidden: 64,
    modalities: [
      { name: 'image', width: 24 },
      { name: 'text', width: 16 },
    ],
  },
  options: { ...PUBLISHED_OPTIONS, originalEpochs: 20, incrementEpochs: 10, samples: 300, batchRows: 64 },
  seed: 'published',
  engine: onnxEngine({ deterministic: true }),
};
const old = syntheticItems(world, 300, [0, 1, 2, 3], 'old');
const fresh = syntheticItems(world, 120, [4, 5], 'new');
const before = await trainPublished(run, old, 4);
const after = await incrementPublished(run, before, fresh, 6);

test('stage 1 gives old codes, which an increment leaves as they are, while new ones join', () => {
  for (const side of [0, 1] as const) {
    assert.deepEqual(after.codes[side].slice(0, 300 * K), before.codes[side]);
    assert.equal(after.codes[side].length, 420 * K);
    assert.ok(after.codes[side].every((bit) => bit === 1 || bit === -1));
  }
});

test('(f) the increment hardly moves the networks: no weight by more than 3e-5', () => {
  let most = 0;
  for (const [name, { data }] of Object.entries(before.parameters)) {
    for (const [i, value] of data.entries())
      most = Math.max(most, Math.abs(value - after.parameters[name]!.data[i]!));
  }
  assert.ok(most > 0 && most < 3e-5, `${most}`);
});

test('(e) a database code has a third value where the modalities disagree', () => {
  const codes = publishedDatabaseCodes(after);
  const [x, y] = after.codes;
  assert.ok(codes.every((bit, at) => bit === (x[at] === y[at] ? x[at] : 0)));
  assert.ok(codes.includes(0), 'the modalities agree everywhere: the case is not reached');
});

test('(g) with a look at the queries the epoch that pleases them is kept', async () => {
  const seen: string[] = [];
  const peek = async (parameters: typeof before.parameters): Promise<number> => {
    seen.push(hex(tensorsDigest(parameters)));
    return seen.length === 3 ? 1 : 0;
  };
  await incrementPublished({ ...run, peek }, before, fresh, 6);
  assert.equal(seen.length, 20);
  // The second modality starts from what was kept of the first, so its first look shows the third epoch's weights of that one.
  const last = await incrementPublished(
    { ...run, peek: async () => 0, options: { ...run.options, incrementEpochs: 1 } },
    before,
    fresh,
    6,
  );
  assert.notEqual(hex(tensorsDigest(last.parameters)), hex(tensorsDigest(after.parameters)));
});

test('the same seed gives equal bytes', async () => {
  const again = await incrementPublished(run, await trainPublished(run, old, 4), fresh, 6);
  assert.equal(hex(tensorsDigest(again.parameters)), hex(tensorsDigest(after.parameters)));
  assert.deepEqual(again.codes, after.codes);
});

test('stage 1 learns: label-derived codes of records that share a class are nearer than those of others', async () => {
  const codes = publishedDatabaseCodes(before);
  const text = await deepCodes(run.engine, run.spec, before.parameters, 'text', old.inputs.text!);
  const mean = (alike: boolean): number => {
    let sum = 0;
    let count = 0;
    for (let i = 0; i < 100; i++) {
      for (let j = 0; j < 300; j++) {
        if (old.labels[i]!.some((c) => old.labels[j]!.includes(c)) !== alike) continue;
        for (let k = 0; k < K; k++) sum += text[i * K + k]! * codes[j * K + k]!;
        count++;
      }
    }
    return sum / count;
  };
  assert.ok(mean(true) > mean(false) + 1, `${mean(true)} ${mean(false)}`);
});
