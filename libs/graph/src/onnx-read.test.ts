import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { isError } from '@lethe/std';
import { tensor } from '@lethe/tensor';
import fc from 'fast-check';
import {
  GRAPH,
  GraphBuilder,
  mlp,
  readOnnx,
  readOnnxTensor,
  softmaxCrossEntropy,
  tensorOf,
} from './index.ts';

function example(): Uint8Array {
  const g = new GraphBuilder();
  const x = g.examples('x', [4, 3]);
  const { logits } = mlp(x, { widths: [3, 5, 2], activation: 'relu' });
  g.output('losses', softmaxCrossEntropy(logits, g.examples('labels', [4], 'int64')));
  return g.build().bytes;
}

/** A TensorProto, field by field. */
function tensorBytes(write: (writer: BinaryWriter) => void): Uint8Array {
  const writer = new BinaryWriter();
  write(writer);
  return writer.finish();
}

const coded = (error: unknown): boolean =>
  isError(error, GRAPH.ONNX_MALFORMED) || isError(error, GRAPH.ONNX_UNSUPPORTED);

test('a model of ours is read back: ports, nodes, attributes, constants', () => {
  const { graph, opsets, producer, irVersion } = readOnnx(example());
  assert.deepEqual(
    { producer, irVersion, opsets: { ...opsets } },
    {
      producer: 'lethe',
      irVersion: 8,
      opsets: { '': 18, 'com.microsoft': 1 },
    },
  );
  assert.deepEqual(graph.inputs[0], { name: 'x', element: 'float32', shape: [4, 3] });
  assert.deepEqual(graph.outputs, [{ name: 'losses', element: 'float32', shape: [4] }]);
  assert.equal(graph.nodes.filter(({ type }) => type === 'Gemm').length, 2);
  const column = graph.initializers.find(({ shape }) => shape[0] === 2);
  assert.deepEqual(tensorOf(column!), tensor('int64', [2], BigInt64Array.of(4n, 1n)));
});

test('data is read from every field that a tensor may keep it in', () => {
  const int64 = tensorBytes((w) => {
    w.tag(1, WireType.LengthDelimited).fork().int64(2).int64(1).join();
    w.tag(2, WireType.Varint).int32(7);
    w.tag(7, WireType.LengthDelimited).fork().int64(-3).int64(5).join();
  });
  assert.deepEqual(tensorOf(readOnnxTensor(int64)), tensor('int64', [2, 1], BigInt64Array.of(-3n, 5n)));
  const int32 = tensorBytes((w) => {
    w.tag(1, WireType.Varint).int64(2).tag(2, WireType.Varint).int32(6);
    w.tag(5, WireType.Varint).int32(-7).tag(5, WireType.Varint).int32(8);
  });
  assert.deepEqual(tensorOf(readOnnxTensor(int32)), tensor('int64', [2], BigInt64Array.of(-7n, 8n)));
  const singles = tensorBytes((w) => {
    w.tag(1, WireType.Varint).int64(2).tag(2, WireType.Varint).int32(1);
    w.tag(4, WireType.LengthDelimited).fork().float(0.5).float(-2).join();
  });
  const expected = tensor('float32', [2], Float32Array.of(0.5, -2));
  assert.deepEqual(tensorOf(readOnnxTensor(singles)), expected);
  // Files come as Buffers, whose slices share the memory of others, at any offset.
  assert.deepEqual(tensorOf(readOnnxTensor(Buffer.from([0, ...singles]).subarray(1))), expected);
});

test('what has no meaning here is refused by name', () => {
  const refuses = (kind: 'ONNX_MALFORMED' | 'ONNX_UNSUPPORTED', bytes: Uint8Array, says: RegExp): void =>
    assert.throws(
      () => tensorOf(readOnnxTensor(bytes)),
      (error) => isError(error, GRAPH[kind]) && says.test(String(error)),
    );
  const header = (w: BinaryWriter, element: number): BinaryWriter =>
    w.tag(1, WireType.Varint).int64(2).tag(2, WireType.Varint).int32(element);
  refuses(
    'ONNX_UNSUPPORTED',
    tensorBytes((w) => header(w, 99)),
    /unknown element type 99/,
  );
  refuses(
    'ONNX_UNSUPPORTED',
    tensorBytes((w) => header(w, 1).tag(14, WireType.Varint).int32(1)),
    /external data/,
  );
  refuses(
    'ONNX_UNSUPPORTED',
    tensorBytes((w) => header(w, 10).tag(9, WireType.LengthDelimited).bytes(new Uint8Array(4))),
    /float16/,
  );
  refuses(
    'ONNX_MALFORMED',
    tensorBytes((w) => header(w, 1).tag(9, WireType.LengthDelimited).bytes(new Uint8Array(4))),
    /4 bytes, float32 \[2\] needs 8/,
  );
  refuses(
    'ONNX_MALFORMED',
    tensorBytes((w) => w.tag(1, WireType.Varint).int64('9007199254740991').tag(2, WireType.Varint).int32(1)),
    /needs/,
  );
  refuses(
    'ONNX_MALFORMED',
    tensorBytes((w) => w.tag(1, WireType.Bit32).float(1)),
    /wire type/,
  );
  refuses(
    'ONNX_MALFORMED',
    tensorBytes((w) => w.tag(1, WireType.StartGroup)),
    /group/,
  );
  assert.throws(() => readOnnx(new TextEncoder().encode('{"not": "a model"}')), coded);
  assert.throws(
    () => readOnnx(new Uint8Array()),
    (error) => isError(error, GRAPH.ONNX_MALFORMED) && /no graph/.test(String(error)),
  );
});

test('damaged, cut and random bytes give a coded error or a model, never anything else', () => {
  const whole = example();
  const attempt = (bytes: Uint8Array): void => {
    try {
      readOnnx(bytes);
    } catch (error) {
      assert.ok(coded(error), String(error));
    }
  };
  // Between two fields of the file a cut cannot be seen; past the graph only the second operator set can go missing.
  let unseen = 0;
  for (let length = 0; length < whole.length; length++) {
    try {
      readOnnx(whole.subarray(0, length));
      unseen++;
    } catch (error) {
      assert.ok(coded(error), String(error));
    }
  }
  assert.equal(unseen, 1);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), attempt), { numRuns: 2_000 });
  const flips = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 })), {
    minLength: 1,
    maxLength: 4,
  });
  fc.assert(
    fc.property(flips, (some) => {
      const bytes = whole.slice();
      for (const [at, mask] of some) bytes[at]! ^= mask;
      attempt(bytes);
    }),
    { numRuns: 5_000 },
  );
});
