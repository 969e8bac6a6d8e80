import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError, LetheError } from '@lethe/std';
import { float32, type Tensor, tensor } from '@lethe/tensor';
import fc from 'fast-check';
import { GRAPH, GraphBuilder, importOnnx, readOnnx, summarizeModel } from './index.ts';
import { type Attribute, encodeModel, type OnnxNode, type WrittenPort } from './onnx.ts';

/** What an import refuses, and what it makes of shapes; that it computes the same is tested in @lethe/runtime, where graphs run. */

const node = (
  type: string,
  inputs: readonly string[],
  output: string,
  attributes: Readonly<Record<string, Attribute>> = {},
  domain = '',
): OnnxNode => ({ type, domain, inputs, output, attributes });

const port = (
  name: string,
  shape: WrittenPort['shape'],
  dtype: WrittenPort['dtype'] = 'float32',
): WrittenPort => ({
  name,
  dtype,
  shape,
});

function file(
  nodes: readonly OnnxNode[],
  constants: Readonly<Record<string, Tensor>> = {},
  inputs: readonly WrittenPort[] = [port('x', ['batch', 4])],
): Uint8Array {
  return encodeModel({
    inputs,
    outputs: [port(nodes.at(-1)!.output, ['unknown'])],
    constants: Object.entries(constants).map(([name, value]) => ({ name, tensor: value })),
    nodes,
  });
}

const refuses = (
  bytes: Uint8Array,
  says: RegExp,
  options: Parameters<typeof importOnnx>[2] = { batch: 3 },
): void =>
  assert.throws(
    () => importOnnx(new GraphBuilder(), bytes, options),
    (error) => isError(error, GRAPH.ONNX_NOT_IMPORTED) && says.test(String(error)),
  );

test('a node that is not imported is named, with its operator and what to do', () => {
  refuses(file([node('Mystery', ['x'], 'y')]), /node y \(Mystery\).*does not state the shape/);
  refuses(file([node('Relu', ['x'], 'y', {}, 'org.example')]), /node y \(Relu\).*domain org\.example/);
  refuses(file([node('Relu', ['x'], 'y', { slope: { float: 1 } })]), /attribute slope is not known/);
  refuses(
    file([node('Concat', ['x'], 'y', { axis: { string: 'last' } })]),
    /attribute axis is of another type/,
  );
  refuses(file([node('Add', ['x'], 'y')]), /has no input 2/);
  refuses(
    file([node('Reshape', ['x', 'shape'], 'y')], {}, [port('x', [3, 4]), port('shape', [2], 'int64')]),
    /shape is computed/,
  );
  const shape = tensor('int64', [2], BigInt64Array.of(5n, -1n));
  refuses(file([node('Reshape', ['x', 'to'], 'y')], { to: shape }), /cannot make \[5, -1\] of \[3, 4\]/);
});

test('inputs have to fit, and an open axis needs a size', () => {
  const bytes = file([node('Relu', ['x'], 'y')]);
  refuses(bytes, /size batch of input x is open/, {});
  const g = new GraphBuilder();
  const wide = g.examples('wide', [3, 5]);
  assert.throws(
    () => importOnnx(g, bytes, { inputs: { x: wide } }),
    (error) =>
      isError(error, GRAPH.ONNX_NOT_IMPORTED) && /\[3, 5\], the model takes \[batch, 4\]/.test(String(error)),
  );
  assert.throws(
    () => importOnnx(g, bytes, { inputs: { z: wide } }),
    (error) => isError(error, GRAPH.ONNX_NOT_IMPORTED) && /no input z; it has x/.test(String(error)),
  );
  assert.deepEqual(importOnnx(g, bytes, { batch: 7 }).outputs.y!.shape, [7, 4]);
});

test('shapes that a file computes from shapes are numbers when the graph is built', () => {
  const constants = {
    zero: tensor('int64', [1], BigInt64Array.of(0n)),
    rest: tensor('int64', [1], BigInt64Array.of(-1n)),
    two: tensor('int64', [], BigInt64Array.of(2n)),
  };
  const bytes = file(
    [
      node('Shape', ['x'], 'shape'),
      node('Gather', ['shape', 'zero'], 'rows', { axis: { int: 0 } }),
      node('Mul', ['rows', 'two'], 'doubled'),
      node('Concat', ['doubled', 'rest'], 'target', { axis: { int: 0 } }),
      node('Reshape', ['x', 'target'], 'y'),
    ],
    constants,
  );
  const { outputs } = importOnnx(new GraphBuilder(), bytes, { batch: 3 });
  assert.deepEqual([outputs.y!.op, outputs.y!.shape], ['reshape', [6, 2]]);
});

test('product and sum become one layer; only what is named is trained', () => {
  const constants = { w: float32([4, 2], new Float32Array(8)), b: float32([2], new Float32Array(2)) };
  const bytes = file([node('MatMul', ['x', 'w'], 'xw'), node('Add', ['b', 'xw'], 'y')], constants);
  const { outputs, parameters, initial, values } = importOnnx(new GraphBuilder(), bytes, {
    batch: 3,
    trainable: (name) => name === 'w',
  });
  assert.deepEqual([outputs.y!.op, outputs.y!.inputs.length], ['dense', 3]);
  assert.deepEqual(
    parameters.map(({ name }) => name),
    ['w'],
  );
  assert.deepEqual(initial, { w: constants.w });
  assert.deepEqual(values.get('xw')!.shape, [3, 2]);
});

test('two operators without a constructor on one value are two nodes', () => {
  const bytes = file([node('Sin', ['x'], 's'), node('Cos', ['x'], 'c'), node('Add', ['s', 'c'], 'y')]);
  const { outputs, opaque } = importOnnx(new GraphBuilder(), bytes, { batch: 2 });
  assert.equal(opaque.length, 2);
  assert.notEqual(outputs.y!.inputs[0], outputs.y!.inputs[1]);
});

test('a damaged file ends in a coded error or a graph, never in anything else', () => {
  const constants = {
    w: float32([4, 2], new Float32Array(8)),
    b: float32([2], new Float32Array(2)),
    k: float32([3, 1, 2, 2], new Float32Array(12)),
    to: tensor('int64', [4], BigInt64Array.of(-1n, 1n, 2n, 1n)),
  };
  const whole = file(
    [
      node('Gemm', ['x', 'w', 'b'], 'h', { transB: { int: 0 } }),
      node('Softmax', ['h'], 's', { axis: { int: -1 } }),
      node('Reshape', ['s', 'to'], 'r'),
      node('Conv', ['r', 'k'], 'c', { pads: { ints: [1, 1, 1, 1] }, strides: { ints: [2, 1] } }),
      node('MaxPool', ['c'], 'p', { kernel_shape: { ints: [2, 2] } }),
      node('ReduceMean', ['p'], 'y', { keepdims: { int: 0 } }),
    ],
    constants,
  );
  assert.deepEqual(importOnnx(new GraphBuilder(), whole, { batch: 2, trainable: () => true }).opaque, []);
  const flips = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 })), {
    minLength: 1,
    maxLength: 3,
  });
  fc.assert(
    fc.property(flips, (some) => {
      const bytes = whole.slice();
      for (const [at, mask] of some) bytes[at]! ^= mask;
      try {
        importOnnx(new GraphBuilder(), bytes, { batch: 2, trainable: () => true });
        summarizeModel(readOnnx(bytes), { batch: 2 });
      } catch (error) {
        if (!(error instanceof LetheError)) throw error;
      }
    }),
    { numRuns: 1_500 },
  );
});

test('a chain deeper than calls can nest is read, differentiated and built', () => {
  const depth = 20_000;
  const nodes = Array.from({ length: depth }, (_, i) => node('Relu', [`v${i}`], `v${i + 1}`));
  const bytes = file([node('MatMul', ['x', 'w'], 'v0'), ...nodes], {
    w: float32([4, 4], new Float32Array(16)),
  });
  const { operators, run, layers } = summarizeModel(readOnnx(bytes), { batch: 2 });
  assert.deepEqual(operators, { MatMul: 1, Relu: depth });
  assert.equal(run?.activationBytes, (depth + 1) * 2 * 4 * 4);
  assert.equal(layers[0]?.parameters[0]?.norm?.rule, 'ghost');
  const g = new GraphBuilder();
  g.output('y', importOnnx(g, bytes, { batch: 2 }).outputs[`v${depth}`]!);
  assert.equal(readOnnx(g.build().bytes).graph.nodes.length, depth + 2);
});

test('sizes that no runtime holds are refused before anything is made of them', () => {
  const unsupported = (error: unknown): boolean =>
    isError(error, GRAPH.ONNX_UNSUPPORTED) && /input x has \d+ elements/.test(error.message);
  const wide = file([node('Relu', ['x'], 'y')], {}, [port('x', [2 ** 40, 4])]);
  assert.throws(() => readOnnx(wide), unsupported);
  const open = file([node('Relu', ['x'], 'y')]);
  assert.throws(() => importOnnx(new GraphBuilder(), open, { batch: 2 ** 30 }), unsupported);
  const { run, notBuilt } = summarizeModel(readOnnx(open), { batch: 2 ** 30 });
  assert.deepEqual([run, /has 4294967296 elements/.test(notBuilt ?? '')], [undefined, true]);
  const many = file([node('MatMul', ['x', 'w'], 'y')], { w: float32([1, 1], new Float32Array(1)) }, [
    port('x', [2 ** 31, 1]),
  ]);
  assert.match(summarizeModel(readOnnx(many)).notBuilt ?? '', /a run of 2147483648 examples/);
});

test('names that objects have members of are names like any other', () => {
  const unknown = file([node('constructor', ['x'], 'y', {}, 'd'), node('__proto__', ['y'], 'z', {}, 'd')]);
  const named = file([
    node('constructor', ['x'], 'y'),
    node('constructor', ['y'], 'z'),
    node('__proto__', ['z'], 'toString'),
  ]);
  assert.deepEqual(Object.entries(summarizeModel(readOnnx(unknown)).operators), [
    ['d.__proto__', 1],
    ['d.constructor', 1],
  ]);
  assert.deepEqual(Object.entries(summarizeModel(readOnnx(named)).operators), [
    ['__proto__', 1],
    ['constructor', 2],
  ]);
  const constants = Object.fromEntries([['__proto__', float32([4, 2], new Float32Array(8))]]);
  const bytes = file([node('MatMul', ['hasOwnProperty', '__proto__'], 'y')], constants, [
    port('hasOwnProperty', [2, 4]),
  ]);
  const { initial, inputs } = importOnnx(new GraphBuilder(), bytes, { trainable: () => true });
  assert.deepEqual([Object.keys(initial), Object.keys(inputs)], [['__proto__'], ['hasOwnProperty']]);
});
