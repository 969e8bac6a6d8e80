import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { dense, exportOnnx, GraphBuilder, mlp, mlpParameters, reshape, type Value } from '@lethe/graph';
import { elements, float32, type Tensor } from '@lethe/tensor';
import { run } from './program.ts';

const home = mkdtempSync(join(tmpdir(), 'lethe-model-'));
after(() => rmSync(home, { recursive: true }));

async function lethe(...argv: string[]): Promise<{ status: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const status = await run(argv, {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    errIsTerminal: false,
    environment: {},
    readStdin: async () => '',
    interruption: () => new AbortController().signal,
  });
  return { status, out, err };
}

const written = (name: string, bytes: Uint8Array): string => {
  writeFileSync(join(home, name), bytes);
  return join(home, name);
};

const zeros = (
  items: readonly { readonly name: string; readonly shape: readonly number[] }[],
): Record<string, Tensor> =>
  Object.fromEntries(
    items.map(({ name, shape }) => [name, float32(shape, new Float32Array(elements(shape)))]),
  );

test('a perceptron: layers, sizes, memory, and the rule of each norm', async () => {
  const spec = { widths: [784, 256, 10], activation: 'relu' } as const;
  const g = new GraphBuilder();
  const { logits } = mlp(g.examples('x', [4, 784]), spec);
  const path = written('mlp.onnx', exportOnnx({ logits }, zeros(mlpParameters(spec))).bytes);
  const { status, out, err } = await lethe('model', 'show', path, '--batch', '64');
  assert.deepEqual([status, err], [0, '']);
  assert.match(out, /input: x float32 \[batch, 784\]/u);
  assert.match(out, /operators: Gemm 2, Identity 1, Relu 1/u);
  assert.match(out, /parameters: 203530 in 2 layers, 795\.0 KiB/u);
  assert.match(
    out,
    /dense0 \(Gemm\) gives \[64, 256\]\n {4}dense0\.w \[784, 256\] 784\.0 KiB; norm ghost: one row/u,
  );
  assert.match(out, /activations: 130\.5 KiB for 64 examples, the largest 64\.0 KiB/u);

  const json = JSON.parse((await lethe('model', 'show', path, '--json')).out);
  assert.equal(json.run.batch, 32);
  assert.equal(json.layers[1].parameters[0].norm.rule, 'ghost');
});

test('what has no rule is run as it stands, and the norms before it are refused with the reason', async () => {
  const g = new GraphBuilder();
  const onnx = (type: string, inputs: readonly Value[], shape: readonly number[]): Value =>
    g.operator({ op: 'opaque', type, inputs, shape });
  const [before, slope, after_] = [[4, 6], [6], [6, 2]].map((shape, i) => g.parameter(`layer${i}.w`, shape));
  const hidden = onnx('PRelu', [dense(g.examples('x', [3, 4]), before!), slope!], [3, 6]);
  const path = written(
    'prelu.onnx',
    exportOnnx({ y: dense(hidden, after_!) }, zeros([before!, slope!, after_!])).bytes,
  );
  const { status, out } = await lethe('model', 'show', path);
  assert.equal(status, 0);
  assert.match(out, /layer0\.w \[4, 6\] 96 B; norm refused: .*\(PRelu\)/u);
  assert.match(out, /layer1\.w \[6\] 24 B; norm refused: /u);
  assert.match(out, /layer2\.w \[6, 2\] 48 B; norm ghost: /u);
  assert.match(out, /opaque: PRelu 1/u);

  const image = g.examples('image', [2, 1, 4, 4]);
  const odd = onnx('ConvTranspose', [image, g.parameter('up.w', [1, 3, 3, 3])], [2, 3, 6, 6]);
  const unknown = exportOnnx(
    { y: reshape(odd, [2, 108]) },
    zeros([{ name: 'up.w', shape: [1, 3, 3, 3] }]),
  ).bytes;
  const second = await lethe('model', 'show', written('unknown.onnx', unknown));
  assert.match(second.out, /up \(ConvTranspose\)/u);
  assert.match(second.out, /shapes, memory and norms are not known: .*does not state the shape/u);
});

test('a file that is no model is refused with its code and remedy', async () => {
  const { status, err } = await lethe('model', 'show', written('table.csv', Buffer.from('a,b\n1,2\n')));
  assert.equal(status, 1);
  assert.match(err, /^\[LETHE-302[67]\].*\n.*(undamaged file|Save the model again)/u);
  const none = await lethe('model', 'show', join(home, 'none.onnx'));
  assert.deepEqual([none.status, /LETHE-5014/u.test(none.err)], [2, true]);
});
