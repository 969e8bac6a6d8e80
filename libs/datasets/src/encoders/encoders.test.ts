import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { OnnxPort } from '@lethe/graph';
import { Session } from '@lethe/runtime';
import { isError, sha256 } from '@lethe/std';
import type { Tensor } from '@lethe/tensor';
import { DATASETS } from '../errors.ts';
import { isFetched, pinnedDataset } from '../pinned.ts';
import { embedPictures } from './picture-net.ts';
import { type Conversion, convertTfjs, type TfjsNode } from './tfjs.ts';
import { float16, readTfjsWeights } from './tfjs-weights.ts';
import { UseEncoder, useInputs, useModel } from './use.ts';
import { UseTokenizer, type Vocabulary } from './use-tokens.ts';

const floats = (shape: readonly number[], ...values: number[]): Tensor => ({
  dtype: 'float32',
  shape,
  data: Float32Array.from(values),
});
const integers = (...values: number[]): Tensor => ({
  dtype: 'int64',
  shape: [values.length],
  data: BigInt64Array.from(values, BigInt),
});
const integer = (value: number): Tensor => ({
  dtype: 'int64',
  shape: [],
  data: BigInt64Array.of(BigInt(value)),
});

/** A graph of one input `x` and the constants that it names. */
function graph(
  nodes: readonly TfjsNode[],
  constants: Readonly<Record<string, Tensor>>,
  x: OnnxPort,
  output: Conversion['output'],
): Conversion {
  const named = Object.keys(constants).map((name): TfjsNode => ({ name, op: 'Const' }));
  const weights = new Map(Object.entries(constants));
  return { nodes: [...named, { name: x.name, op: 'Placeholder' }, ...nodes], weights, inputs: [x], output };
}

async function run(conversion: Conversion, x: Tensor): Promise<number[]> {
  const { inputs, output } = conversion;
  const session = await Session.create({
    bytes: convertTfjs(conversion),
    inputs,
    outputs: [output],
    examples: [],
  });
  const { [output.name]: result } = await session.run({ x });
  await session.close();
  return Array.from(result!.data as ArrayLike<number | bigint>, Number);
}

const X = (shape: readonly number[]): OnnxPort => ({ name: 'x', dtype: 'float32', shape });
const Y = (node: string, shape: readonly number[]): Conversion['output'] => ({
  node,
  name: 'y',
  dtype: 'float32',
  shape,
});
const bytes = (value: string): number[] => [...Buffer.from(value)];

test('a convolution keeps NHWC; SAME puts the odd row at the end; depthwise filters are one per channel', async () => {
  const attr = {
    data_format: { s: bytes('NHWC') },
    padding: { s: bytes('SAME') },
    strides: { list: { i: ['1', '2', '2', '1'] } },
  };
  const picture = floats([1, 2, 2, 2], 1, 10, 2, 20, 3, 30, 4, 40);
  const ones = floats([2, 2, 2, 1], 1, 1, 2, 1, 3, 1, 4, 1);
  const full: TfjsNode = { name: 'conv', op: 'Conv2D', input: ['x', 'w'], attr };
  const conversion = graph([full], { w: ones }, X([1, 2, 2, 2]), Y('conv', [1, 1, 1, 1]));
  assert.deepEqual(await run(conversion, picture), [1 + 4 + 9 + 16 + 100]);
  const deep: TfjsNode = { ...full, op: 'DepthwiseConv2dNative' };
  const apart = graph([deep], { w: ones }, X([1, 2, 2, 2]), Y('conv', [1, 1, 1, 2]));
  assert.deepEqual(await run(apart, picture), [1 + 4 + 9 + 16, 100]);
});

test('slices with masks, splits, places that are true, values scattered, transposed products', async () => {
  const nodes: TfjsNode[] = [
    {
      name: 'row',
      op: 'StridedSlice',
      input: ['x', 'b', 'e', 's'],
      attr: { shrink_axis_mask: { i: '1' }, end_mask: { i: '2' } },
    },
    { name: 'parts', op: 'SplitV', input: ['row', 'sizes', 'axis'] },
    { name: 'mask', op: 'Greater', input: ['parts:1', 'zero'] },
    { name: 'where', op: 'Where', input: ['mask'] },
    { name: 'kept', op: 'GatherNd', input: ['parts:1', 'where'] },
    { name: 'back', op: 'ScatterNd', input: ['where', 'kept', 'shape'] },
    { name: 'wide', op: 'ExpandDims', input: ['back', 'axis'] },
    { name: 'y', op: 'MatMul', input: ['wide', 'm'], attr: { transpose_b: { b: true } } },
  ];
  const constants = {
    b: integers(1, 1),
    e: integers(2, 2),
    s: integers(1, 1),
    sizes: integers(1, 3),
    axis: integer(0),
    zero: floats([], 0),
    shape: integers(3),
    m: floats([2, 3], 1, 0, 0, 1, 1, 1),
  };
  const conversion = graph(nodes, constants, X([2, 5]), Y('y', [1, 2]));
  // Row 1 from column 1 on is [9, 5, -7, 2]; its last three with what is negative gone are [5, 0, 2].
  assert.deepEqual(await run(conversion, floats([2, 5], 0, 0, 0, 0, 0, 8, 9, 5, -7, 2)), [5, 7]);
  assert.deepEqual(convertTfjs(conversion), convertTfjs(conversion));
});

test('what cannot be converted is refused by name', () => {
  const refuse = (node: TfjsNode, constants: Readonly<Record<string, Tensor>>, name: RegExp): void =>
    assert.throws(
      () => convertTfjs(graph([node], constants, X([1]), Y('y', [1]))),
      (error) => isError(error, DATASETS.TFJS_UNSUPPORTED) && name.test(error.message),
    );
  refuse({ name: 'y', op: 'NonMaxSuppressionV5', input: ['x'] }, {}, /NonMaxSuppressionV5/u);
  refuse({ name: 'y', op: 'toString', input: ['x'] }, {}, /toString/u);
  refuse({ name: 'y', op: 'Add', input: ['x', 'y'] }, {}, /loop/u);
  refuse({ name: 'y', op: 'Add', input: ['x', 'gone'] }, {}, /gone/u);
  refuse({ name: 'y', op: 'Transpose', input: ['x', 'x'] }, {}, /Transpose needs a constant/u);
  const strided = {
    name: 'y',
    op: 'StridedSlice',
    input: ['x', 'i', 'i', 'i'],
    attr: { ellipsis_mask: { i: '1' } },
  };
  refuse(strided, { i: integers(1) }, /ellipsis_mask/u);
});

test('weights: whole, in eight bits, in half precision; of another length or type refused', () => {
  const manifest = [
    { name: 'i', dtype: 'int32', shape: [1] },
    { name: 'q', dtype: 'float32', shape: [2], quantization: { dtype: 'uint8', scale: 0.5, min: -1 } },
    { name: 'h', dtype: 'float32', shape: [1], quantization: { dtype: 'float16' } },
  ];
  const stored = Uint8Array.of(254, 255, 255, 255, 0, 4, 0, 0xbe);
  const weights = readTfjsWeights(manifest, stored);
  assert.deepEqual(
    [...weights.values()].map(({ data }) => Array.from(data as ArrayLike<number | bigint>, Number)),
    [[-2], [-1, 1], [-1.5]],
  );
  assert.deepEqual([0x3555, 0x0001, 0x7c00].map(float16), [
    0.333251953125,
    2 ** -24,
    Number.POSITIVE_INFINITY,
  ]);
  for (const length of [7, 9]) {
    assert.throws(
      () =>
        readTfjsWeights(
          manifest,
          Uint8Array.from({ length }, (_, i) => stored[i] ?? 0),
        ),
      (error) => isError(error, DATASETS.FILE_MALFORMED),
    );
  }
  assert.throws(
    () => readTfjsWeights([{ name: 's', dtype: 'string', shape: [1] }], stored),
    (error) => isError(error, DATASETS.TFJS_UNSUPPORTED),
  );
});

test('the most probable pieces; unknown characters that stand together are one', () => {
  const marks: Vocabulary = Array.from({ length: 6 }, (_, i) => [`<${i}>`, 0] as const);
  const pieces: Vocabulary = [
    ['▁a', -1],
    ['▁', -2],
    ['a', -2],
    ['b', -2],
    ['ab', -2.5],
    ['▁ab', -4],
  ];
  const tokenizer = new UseTokenizer([...marks, ...pieces]);
  // ▁a + b is -3, ▁ + ab is -4.5, ▁ab is -4.
  assert.deepEqual(tokenizer.encode('  ab '), [6, 9]);
  assert.deepEqual(tokenizer.encode('ab  ab'), [6, 9, 6, 9]);
  assert.deepEqual(tokenizer.encode('a漢字b'), [6, 0, 9]);
  assert.deepEqual(tokenizer.encode('ａ'), [6], 'NFKC');
  assert.deepEqual(tokenizer.encode('<1>').includes(1), false, 'marks are not text');
  assert.deepEqual(tokenizer.encode(' \n'), []);
});

test('what a text leaves free lies behind the last column', () => {
  const { indices, values } = useInputs([7, 8]);
  assert.deepEqual([...(indices.data as BigInt64Array).subarray(0, 6)], [0n, 0n, 0n, 1n, 0n, 128n]);
  assert.deepEqual([...(values.data as BigInt64Array).subarray(0, 3)], [7n, 8n, 0n]);
});

const empty = mkdtempSync(join(tmpdir(), 'lethe-encoders-'));
after(() => rmSync(empty, { recursive: true }));

test('an encoder that is not here is refused with the command that fetches it', async () => {
  await assert.rejects(UseEncoder.load(empty), (error) => isError(error, DATASETS.DATASET_NOT_FETCHED));
  await assert.rejects(embedPictures(new Uint8Array(1_024), empty), (error) =>
    isError(error, DATASETS.DATASET_NOT_FETCHED),
  );
  await assert.rejects(embedPictures(new Uint8Array(1_025), empty), (error) =>
    isError(error, DATASETS.PICTURE_MALFORMED),
  );
});

/** Without the encoder a test says so and how to get it; nothing is made up in its place. */
const absent = isFetched(pinnedDataset('use')) ? false : 'npx lethe data fetch use';

test('the encoder agrees with TensorFlow.js to 1e-5, length 1, whatever else is in the batch', {
  skip: absent,
}, async () => {
  const fixture = new URL('../../fixtures/use-golden.json', import.meta.url);
  const { rows } = JSON.parse(readFileSync(fixture, 'utf8')) as {
    rows: { text: string; ids: number[]; embedding: string }[];
  };
  const encoder = await UseEncoder.load();
  const embeddings = await encoder.embed(rows.map(({ text }) => text));
  const alone = await encoder.embed([rows[1]!.text]);
  await assert.rejects(encoder.embed(['a', ' ']), (error) => isError(error, DATASETS.TEXT_EMPTY));
  await encoder.close();
  assert.deepEqual(alone, embeddings.slice(512, 1024));
  for (const [at, { embedding, text }] of rows.entries()) {
    const golden = new Float32Array(new Uint8Array(Buffer.from(embedding, 'base64')).buffer);
    const ours = embeddings.subarray(at * 512, (at + 1) * 512);
    const apart = Math.max(...ours.map((value, i) => Math.abs(value - golden[i]!)));
    assert.ok(apart <= 1e-5, `${text.slice(0, 20)}: ${apart}`);
    assert.ok(Math.abs(Math.hypot(...ours) - 1) < 1e-6);
  }
  assert.deepEqual(sha256(useModel()), sha256(useModel()));
});

test('pieces are those of the published tokenizer', { skip: absent }, () => {
  const fixture = new URL('../../fixtures/use-golden.json', import.meta.url);
  const { rows } = JSON.parse(readFileSync(fixture, 'utf8')) as { rows: { text: string; ids: number[] }[] };
  const folder = new URL('../../../../.cache/data/use/model/vocab.json', import.meta.url);
  const tokenizer = new UseTokenizer(JSON.parse(readFileSync(folder, 'utf8')) as Vocabulary);
  for (const { text, ids } of rows) assert.deepEqual(tokenizer.encode(text), ids);
});
