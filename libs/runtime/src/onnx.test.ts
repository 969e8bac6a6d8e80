import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  add,
  batchNormalize,
  cnn,
  cnnSpec,
  dense,
  explainPerExample,
  exportOnnx,
  GRAPH,
  GraphBuilder,
  gelu,
  gradients,
  hardTanh,
  importOnnx,
  matmul,
  mlp,
  mlpParameters,
  mul,
  quickGelu,
  readOnnx,
  reduceMean,
  reduceSum,
  relu,
  reshape,
  silu,
  softmax,
  softmaxCrossEntropy,
  transformer,
  transformerSpec,
  type Value,
} from '@lethe/graph';
import { isError, seededRandom } from '@lethe/std';
import { elements, float32, type Shape, sameShape, type Tensor, tensor } from '@lethe/tensor';
import * as ort from 'onnxruntime-node';
import { buildPredictor } from './predictor.ts';
import { Session, type Tensors } from './session.ts';

/** ONNX files that come in and go out, run: what an import computes, what its gradients are, what others see of an export. */

const drawn = (seed: string, shape: Shape): Tensor<'float32'> => {
  const random = seededRandom('onnx.test', seed);
  return float32(
    shape,
    Float32Array.from({ length: elements(shape) }, () => 2 * random.uniform() - 1),
  );
};

const draw = (values: readonly { readonly name: string; readonly shape: Shape }[]): Record<string, Tensor> =>
  Object.fromEntries(values.map(({ name, shape }) => [name, drawn(name, shape)]));

async function run(g: GraphBuilder, feeds: Tensors): Promise<Record<string, Tensor>> {
  const session = await Session.create(g.build());
  try {
    return await session.run(feeds);
  } finally {
    await session.close();
  }
}

function near(found: Tensor | undefined, expected: Tensor | undefined, tolerance = 1e-5): void {
  assert.ok(
    found && expected && sameShape(found.shape, expected.shape),
    `${found?.shape} is not ${expected?.shape}`,
  );
  for (const [i, value] of Array.from(expected.data, Number).entries()) {
    assert.ok(
      Math.abs(Number(found.data[i]) - value) <= tolerance * (1 + Math.abs(value)),
      `element ${i}: ${found.data[i]}, not ${value}`,
    );
  }
}

/** A file with what exporters write: convolution and pooling in NCHW, batch statistics, a shape that is computed, a layer as product and sum. */
function foreignCnn(): { readonly bytes: Uint8Array; readonly reference: Tensors } {
  const g = new GraphBuilder();
  const onnx = (type: string, inputs: readonly Value[], shape: Shape, attributes = {}): Value =>
    g.operator({ op: 'opaque', type, inputs, shape, attributes });
  const values = draw([
    { name: 'conv.weight', shape: [4, 2, 3, 3] },
    { name: 'conv.bias', shape: [4] },
    { name: 'fc.weight', shape: [64, 3] },
    { name: 'fc.bias', shape: [3] },
  ]);
  const weight = (name: string): Value => g.parameter(name, values[name]!.shape);
  const x = g.examples('image', [2, 2, 8, 8]);
  const padding = { pads: { ints: [1, 1, 1, 1] } };
  const conv = onnx('Conv', [x, weight('conv.weight'), weight('conv.bias')], [2, 4, 8, 8], padding);
  const pooled = onnx('MaxPool', [relu(conv)], [2, 4, 4, 4], {
    kernel_shape: { ints: [2, 2] },
    strides: { ints: [2, 2] },
  });
  const features = reshape(pooled, [2, 64]);
  const logits = add(matmul(features, weight('fc.weight')), weight('fc.bias'));
  const { bytes } = exportOnnx({ features, logits }, values);
  return { bytes, reference: values };
}

test('a model of ours goes out and comes back: equal results, and onnxruntime alone gives the same', async () => {
  const spec = { widths: [6, 5, 3], activation: 'tanh' } as const;
  const parameters = draw(mlpParameters(spec));
  const g = new GraphBuilder();
  const { logits } = mlp(g.examples('x', [4, 6]), spec);
  const { bytes, batch, parametersDigest } = exportOnnx({ logits }, parameters, {
    documentation: 'a small perceptron',
  });
  assert.deepEqual(batch, { open: true });

  const file = readOnnx(bytes);
  assert.equal(file.metadata['lethe.parameters.sha256'], parametersDigest);
  assert.equal(file.documentation, 'a small perceptron');
  assert.deepEqual({ ...file.opsets }, { '': 18 });
  assert.deepEqual(file.graph.inputs, [{ name: 'x', element: 'float32', shape: ['batch', 6] }]);
  assert.deepEqual(file.graph.outputs, [{ name: 'logits', element: 'float32', shape: ['batch', 3] }]);

  // Seven rows, in a file that was built for four.
  const x = drawn('x', [7, 6]);
  const predictor = await buildPredictor({ model: spec, rows: 7 });
  const expected = float32([7, 3], await predictor.logits(parameters, x.data));
  await predictor.close();
  const plain = await ort.InferenceSession.create(bytes);
  const found = await plain.run({ x: new ort.Tensor('float32', x.data, [7, 6]) });
  near(float32([7, 3], found.logits!.data as Float32Array), expected, 0);

  const back = new GraphBuilder();
  const imported = importOnnx(back, bytes, { inputs: { x: back.examples('rows', [7, 6]) } });
  assert.deepEqual([imported.opaque, imported.parameters], [[], []]);
  back.output('logits', imported.outputs.logits!);
  near((await run(back, { rows: x })).logits, expected, 0);
});

test('an imported trainable model has the gradients of the one that was written here', async () => {
  const spec = { widths: [6, 5, 3], activation: 'relu' } as const;
  const parameters = draw(mlpParameters(spec));
  const outgoing = new GraphBuilder();
  const { bytes } = exportOnnx({ logits: mlp(outgoing.examples('x', [4, 6]), spec).logits }, parameters);
  const gradientsOf = async (
    build: (x: Value) => { logits: Value; wrt: readonly Value[] },
  ): Promise<Tensors> => {
    const g = new GraphBuilder();
    const { logits, wrt } = build(g.examples('x', [4, 6]));
    const labels = g.constant('int64', [4], BigInt64Array.of(0n, 2n, 1n, 2n));
    const loss = reduceSum(softmaxCrossEntropy(logits, labels));
    gradients(loss, wrt).forEach((value, i) => {
      g.output(`gradient of ${wrt[i]!.name}`, value);
    });
    const model = g.build();
    const feeds = Object.fromEntries(
      model.inputs.map(({ name, shape }) => [name, parameters[name] ?? drawn(name, shape)]),
    );
    return run(g, feeds);
  };
  const ours = await gradientsOf((x) => {
    const { logits, parameters: wrt } = mlp(x, spec);
    return { logits, wrt };
  });
  const theirs = await gradientsOf((x) => {
    const imported = importOnnx(x.graph, bytes, { inputs: { x }, trainable: () => true });
    assert.deepEqual(imported.initial, parameters);
    return { logits: imported.outputs.logits!, wrt: imported.parameters };
  });
  assert.deepEqual(Object.keys(theirs).sort(), Object.keys(ours).sort());
  for (const [name, value] of Object.entries(ours)) near(theirs[name], value, 1e-6);
});

test('a convolutional encoder of others is run frozen under a head that is trained', async () => {
  const { bytes, reference } = foreignCnn();
  const image = drawn('image', [2, 2, 8, 8]);
  const plain = await ort.InferenceSession.create(bytes);
  const direct = await plain.run({ image: new ort.Tensor('float32', image.data, [2, 2, 8, 8]) });
  const expected = float32([2, 3], direct.logits!.data as Float32Array);

  const g = new GraphBuilder();
  const head = (name: string): boolean => name.startsWith('fc.');
  const { outputs, parameters, opaque, initial } = importOnnx(g, bytes, { batch: 2, trainable: head });
  assert.deepEqual(
    parameters.map(({ name }) => name),
    ['fc.weight', 'fc.bias'],
  );
  assert.deepEqual(
    opaque.map(({ type }) => type),
    ['Conv', 'MaxPool'],
  );
  assert.equal(
    outputs.logits!.op,
    'dense',
    'product and sum become one layer, whose per-example rule is known',
  );
  g.output('logits', outputs.logits!);
  const labels = g.constant('int64', [2], BigInt64Array.of(0n, 2n));
  const losses = softmaxCrossEntropy(outputs.logits!, labels);
  const rules = explainPerExample(losses, parameters, { subjects: 2 });
  assert.equal(
    rules.length,
    2,
    'a frozen convolution keeps examples apart, so the head can be trained privately',
  );
  gradients(reduceSum(losses), parameters).forEach((value, i) => {
    g.output(`d${i}`, value);
  });
  const found = await run(g, {
    image,
    'fc.weight': reference['fc.weight']!,
    'fc.bias': reference['fc.bias']!,
  });
  near(found.logits, expected);
  assert.deepEqual(initial['fc.bias'], reference['fc.bias']);

  // The bias gradient by hand: the sum over rows of softmax minus one-hot.
  const check = new GraphBuilder();
  check.output('p', softmax(check.examples('z', [2, 3])));
  const { p } = await run(check, { z: expected });
  const rows = Array.from(p!.data as Float32Array);
  const byHand = [rows[0]! - 1 + rows[3]!, rows[1]! + rows[4]!, rows[2]! + rows[5]! - 1];
  near(found.d1, float32([3], Float32Array.from(byHand)));
});

test('the same encoder trained: its convolution becomes ours, between transposes, and computes the same', async () => {
  const { bytes, reference } = foreignCnn();
  const image = drawn('image', [2, 2, 8, 8]);
  const plain = await ort.InferenceSession.create(bytes);
  const direct = await plain.run({ image: new ort.Tensor('float32', image.data, [2, 2, 8, 8]) });

  const g = new GraphBuilder();
  const { outputs, parameters, initial, opaque } = importOnnx(g, bytes, { batch: 2, trainable: () => true });
  assert.deepEqual(opaque, []);
  assert.deepEqual(initial['conv.weight']!.shape, [18, 4], 'in the layout of conv2d');
  assert.deepEqual(initial['fc.weight'], reference['fc.weight']);
  g.output('logits', outputs.logits!);
  const losses = softmaxCrossEntropy(outputs.logits!, g.constant('int64', [2], BigInt64Array.of(0n, 2n)));
  g.output('loss', reduceSum(losses));
  gradients(reduceSum(losses), parameters).forEach((value, i) => {
    g.output(`d ${parameters[i]!.name}`, value);
  });
  const rules = explainPerExample(losses, parameters, { subjects: 2 });
  assert.equal(rules.length, 4, 'every parameter has a per-example rule');
  const at = async (weights: Tensors): Promise<Record<string, Tensor>> => run(g, { image, ...weights });
  const found = await at(initial);
  near(found.logits, float32([2, 3], direct.logits!.data as Float32Array));

  // Central differences in float32, so a wide step and a wide tolerance; the rules themselves are tested in float64.
  const h = 1e-2;
  for (const [name, k] of [
    ['conv.weight', 7],
    ['conv.weight', 20],
    ['conv.bias', 1],
    ['fc.weight', 100],
  ] as const) {
    const moved = async (by: number): Promise<number> => {
      const data = Float32Array.from(initial[name]!.data as Float32Array);
      data[k]! += by;
      const { loss } = await at({ ...initial, [name]: float32(initial[name]!.shape, data) });
      return Number(loss!.data[0]);
    };
    const numeric = ((await moved(h)) - (await moved(-h))) / (2 * h);
    const exact = Number(found[`d ${name}`]!.data[k]);
    assert.ok(
      Math.abs(numeric - exact) <= 2e-2 * (1 + Math.abs(exact)),
      `${name}[${k}]: ${numeric}, rule ${exact}`,
    );
  }
});

test('whole models of ours go out and come back with every layer: results, parameters, per-example rules, any batch', async () => {
  const build = {
    cnn: (g: GraphBuilder) => cnn(g.examples('x', [2, 28, 28, 1]), cnnSpec),
    transformer: (g: GraphBuilder) => {
      const small = {
        ...transformerSpec,
        vocabulary: 20,
        sequence: 6,
        width: 8,
        heads: 2,
        blocks: 1,
        tied: true,
      };
      return transformer(reshape(g.examples('x', [2, 6], 'int64'), [12]), small);
    },
  };
  for (const [name, model] of Object.entries(build)) {
    const g = new GraphBuilder();
    const { logits, parameters } = model(g);
    const values = draw(parameters);
    const { bytes, batch } = exportOnnx({ logits }, values);
    assert.deepEqual(batch, { open: true }, name);
    g.output('logits', logits);
    const { dtype, shape } = g.build().inputs.find((port) => port.name === 'x')!;
    const x =
      dtype === 'int64'
        ? tensor(dtype, shape, BigInt64Array.from([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8], BigInt))
        : drawn('x', shape);
    const expected = (await run(g, { x, ...values })).logits;

    const back = new GraphBuilder();
    const imported = importOnnx(back, bytes, { batch: 2, trainable: (each) => Object.hasOwn(values, each) });
    assert.deepEqual(imported.initial, values, name);
    assert.deepEqual(imported.opaque, []);
    back.output('logits', imported.outputs.logits!);
    near((await run(back, { x, ...values })).logits, expected, 1e-6);
    const rows = (value: Value): Value => reduceSum(reshape(value, [2, elements(value.shape) / 2]), [1]);
    const rules = (value: Value, some: readonly Value[]): Record<string, string> =>
      Object.fromEntries(
        explainPerExample(rows(value), some, { subjects: 2 }).map(({ parameter, rule }) => [parameter, rule]),
      );
    assert.deepEqual(rules(imported.outputs.logits!, imported.parameters), rules(logits, parameters), name);

    // One example more, in ONNX Runtime alone: the rows that were there before are the same.
    const size = elements(shape) / 2;
    const more = dtype === 'int64' ? new BigInt64Array(3 * size) : new Float32Array(3 * size);
    if (more instanceof BigInt64Array) more.set(x.data as BigInt64Array);
    else more.set(x.data as Float32Array);
    const plain = await ort.InferenceSession.create(bytes);
    const found = await plain.run({ x: new ort.Tensor(dtype, more, [3, ...shape.slice(1)]) });
    assert.equal(found.logits!.dims[0], (expected!.shape[0]! * 3) / 2);
    const first = (found.logits!.data as Float32Array).slice(0, elements(expected!.shape));
    near(float32(expected!.shape, first), expected, 1e-5);
  }
});

test('a gradient through an operator without a rule is refused, naming the node and the way out', () => {
  const written = new GraphBuilder();
  const w = written.parameter('w', [4, 6]);
  const hidden = dense(written.examples('x', [2, 4]), w);
  const odd = written.operator({ op: 'opaque', type: 'Softsign', inputs: [hidden], shape: [2, 6] });
  const { bytes } = exportOnnx({ y: odd }, { w: drawn('w', [4, 6]) });
  assert.throws(
    () => importOnnx(new GraphBuilder(), bytes, { batch: 2, trainable: () => true }),
    (error) =>
      isError(error, GRAPH.ONNX_NOT_IMPORTED) &&
      /\(Softsign\).*no gradient rule.*depends on trained parameters.*frozen/.test(String(error)),
  );
  const g = new GraphBuilder();
  const x = g.parameter('x', [2, 4]);
  const looked = importOnnx(g, bytes, { inputs: { x }, untrainable: 'allowed' });
  assert.throws(
    () => gradients(reduceSum(looked.outputs.y!), [x]),
    (error) => isError(error, GRAPH.NO_GRADIENT) && /opaque/.test(String(error)),
  );
});

test('activations are written as standard operators', async () => {
  const g = new GraphBuilder();
  const x = g.examples('x', [3, 5]);
  const outputs = { gelu: gelu(x), silu: silu(x), quick: quickGelu(x), hard: hardTanh(mul(x, 2)) };
  const { bytes, batch } = exportOnnx(outputs, {});
  assert.deepEqual(batch, { open: true });
  assert.deepEqual({ ...readOnnx(bytes).opsets }, { '': 18 });
  for (const [name, value] of Object.entries(outputs)) g.output(name, value);
  const given = drawn('x', [3, 5]);
  const ours = await run(g, { x: given });
  const plain = await ort.InferenceSession.create(bytes);
  const found = await plain.run({ x: new ort.Tensor('float32', given.data, [3, 5]) });
  for (const name of Object.keys(outputs)) {
    near(float32([3, 5], found[name]!.data as Float32Array), ours[name], 1e-6);
  }
});

test('private training over an imported operator that may mix examples is refused with the way out', () => {
  const g = new GraphBuilder();
  const x = g.examples('x', [4, 3]);
  const sums = g.operator({
    op: 'opaque',
    type: 'CumSum',
    inputs: [x, g.constant('int64', [], BigInt64Array.of(0n))],
    shape: [4, 3],
  });
  const losses = reduceSum(dense(sums, g.parameter('w', [3, 2])), [1]);
  assert.throws(
    () => explainPerExample(losses, [g.parameter('other', [1])], { subjects: 4 }),
    (error) =>
      isError(error, GRAPH.NO_PER_EXAMPLE_RULE) &&
      /imported CumSum.*feed its result as examples/.test(String(error)),
  );
});

test('products of several examples are written with standard operators only', async () => {
  const g = new GraphBuilder();
  const x = g.examples('x', [3, 4, 5]);
  const scores = softmax(matmul(x, x, { transB: true, alpha: 0.5 }));
  const mixed = matmul(scores, x, { transA: true });
  const y = add(mul(mixed, 2), g.parameter('shift', [5]));
  const values = { shift: drawn('shift', [5]) };
  const { bytes, batch } = exportOnnx({ y }, values);
  assert.deepEqual(batch, { open: true });
  const types = new Set(readOnnx(bytes).graph.nodes.map(({ type }) => type));
  assert.deepEqual([...types].sort(), ['Add', 'Identity', 'MatMul', 'Mul', 'Softmax', 'Transpose']);
  g.output('y', y);
  const given = drawn('x', [3, 4, 5]);
  const plain = await ort.InferenceSession.create(bytes);
  const found = await plain.run({ x: new ort.Tensor('float32', given.data, [3, 4, 5]) });
  near(float32([3, 4, 5], found.y!.data as Float32Array), (await run(g, { x: given, ...values })).y, 1e-6);
});

test('the batch stays fixed where an operation mixes examples, with the reason', () => {
  const g = new GraphBuilder();
  const x = g.examples('x', [4, 3]);
  const fixed = (value: Value, says: RegExp): void => {
    const { batch, bytes } = exportOnnx({ y: value }, {});
    assert.ok(!batch.open && says.test(batch.reason), JSON.stringify(batch));
    assert.deepEqual(readOnnx(bytes).graph.inputs[0]!.shape, [4, 3]);
  };
  fixed(batchNormalize(x).normalized, /reduces over the examples/);
  fixed(add(x, g.constant('float32', [4, 1], Float32Array.of(1, 2, 3, 4))), /as long as the batch/);
  fixed(reduceMean(x), /reduces over the examples/);
});

test('an export without a value for a parameter, or with another shape, is refused', () => {
  const g = new GraphBuilder();
  const y = dense(g.examples('x', [2, 3]), g.parameter('w', [3, 2]));
  const refuses = (parameters: Tensors, says: RegExp): void =>
    assert.throws(
      () => exportOnnx({ y }, parameters),
      (error) => isError(error, GRAPH.ONNX_NOT_EXPORTED) && says.test(String(error)),
    );
  refuses({}, /parameter w is missing/);
  refuses({ w: drawn('w', [2, 3]) }, /float32 \[2, 3\], the graph's is float32 \[3, 2\]/);
});
