import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  GRAPH,
  GraphBuilder,
  importOnnx,
  type ReadModel,
  type ReadPort,
  readOnnx,
  readOnnxTensor,
  tensorOf,
  type Value,
} from '@lethe/graph';
import { Session } from '@lethe/runtime';
import { isError, LetheError } from '@lethe/std';
import { sameShape, type Tensor, tensor } from '@lethe/tensor';
import { findOnnxTestData } from '../tools/onnx-testdata.ts';

/**
 * Every operator that our constructors write, against the node tests of ONNX itself (Debian's libonnx-testdata): the test's one node
 * is rebuilt by the importer, which calls our constructors, encoded by our encoder, run in our session, and compared.
 */
const ROOT = new URL('../..', import.meta.url).pathname;

/** Written operators for which no node test exists, and why nothing is lost. */
const WITHOUT_NODE_TEST: Readonly<Record<string, string>> = {
  FusedMatMul:
    "ONNX Runtime's own, not of the standard; equal to Transpose and MatMul in libs/runtime's onnx.test.ts",
};

/**
 * Node tests that use what our constructors refuse: the words of the refusal. Half floats, text and uint64 have no dtype here;
 * optional values and sequences are no tensors; the runtime cannot write into a preallocated tensor without elements.
 */
const REFUSED: Readonly<Record<string, string>> = {
  test_cast_BFLOAT16_to_FLOAT: 'is bfloat16',
  test_cast_DOUBLE_to_FLOAT16: 'has no place in a graph here',
  test_cast_FLOAT16_to_DOUBLE: 'has no place in a graph here',
  test_cast_FLOAT16_to_FLOAT: 'has no place in a graph here',
  test_cast_FLOAT_to_BFLOAT16: 'has no place in a graph here',
  test_cast_FLOAT_to_FLOAT16: 'has no place in a graph here',
  test_cast_FLOAT_to_STRING: 'has no place in a graph here',
  test_cast_STRING_to_FLOAT: 'has no place in a graph here',
  test_castlike_BFLOAT16_to_FLOAT_expanded: 'is bfloat16',
  test_castlike_DOUBLE_to_FLOAT16_expanded: 'has no place in a graph here',
  test_castlike_FLOAT16_to_DOUBLE_expanded: 'has no place in a graph here',
  test_castlike_FLOAT16_to_FLOAT_expanded: 'has no place in a graph here',
  test_castlike_FLOAT_to_BFLOAT16_expanded: 'is bfloat16',
  test_castlike_FLOAT_to_FLOAT16_expanded: 'has no place in a graph here',
  test_castlike_FLOAT_to_STRING_expanded: 'has no place in a graph here',
  test_castlike_STRING_to_FLOAT_expanded: 'has no place in a graph here',
  test_edge_pad: 'only padding with a constant',
  test_identity_opt: 'is not an ONNX model',
  test_identity_sequence: 'one segment',
  test_max_float16: 'has no place in a graph here',
  test_max_uint64: 'has no place in a graph here',
  test_min_float16: 'has no place in a graph here',
  test_min_uint64: 'has no place in a graph here',
  test_reflect_pad: 'only padding with a constant',
  test_reshape_allowzero_reordered: 'the runtime failed in a run',
  test_scatter_elements_with_axis: 'only sums into the rows',
  test_scatter_elements_with_negative_indices: 'only sums into the rows',
  test_scatter_elements_without_axis: 'only sums into the rows',
  test_scatternd: 'only sums into whole rows',
  test_scatternd_multiply: 'only sums into whole rows',
  test_slice_start_out_of_bounds: 'it takes nothing',
};

/** As `REFUSED`, for operators of imported models. Grouped and one-dimensional forms and means without padding are run frozen only. */
const REFUSED_TRAINED: Readonly<Record<string, string>> = {
  test_averagepool_1d_default: 'only pictures of two dimensions',
  test_averagepool_2d_ceil: 'ceil_mode',
  test_averagepool_2d_pads: 'leaves the padding out',
  test_averagepool_2d_precomputed_pads: 'leaves the padding out',
  test_averagepool_2d_precomputed_same_upper: 'leaves the padding out',
  test_averagepool_2d_same_lower: 'leaves the padding out',
  test_averagepool_2d_same_upper: 'leaves the padding out',
  test_averagepool_3d_default: 'only pictures of two dimensions',
  test_batchnorm_epsilon_training_mode: 'batch statistics mix examples',
  test_batchnorm_example_training_mode: 'batch statistics mix examples',
  test_layer_normalization_2d_axis0: 'normalises over the examples',
  test_layer_normalization_2d_axis_negative_2: 'normalises over the examples',
  test_layer_normalization_3d_axis0_epsilon: 'normalises over the examples',
  test_layer_normalization_3d_axis_negative_3_epsilon: 'normalises over the examples',
  test_layer_normalization_4d_axis0: 'normalises over the examples',
  test_layer_normalization_4d_axis_negative_4: 'normalises over the examples',
  test_maxpool_1d_default: 'only pictures of two dimensions',
  test_maxpool_2d_ceil: 'ceil_mode',
  test_maxpool_2d_uint8: 'the runtime refused the graph',
  test_maxpool_3d_default: 'only pictures of two dimensions',
  test_split_zero_size_splits: 'slice cannot take 0 to 0',
  test_training_dropout: 'it is in training mode',
  test_training_dropout_default: 'it is in training mode',
  test_training_dropout_default_mask: 'it is in training mode',
  test_training_dropout_mask: 'it is in training mode',
  test_training_dropout_zero_ratio: 'it is in training mode',
  test_training_dropout_zero_ratio_mask: 'it is in training mode',
};

/** Operators that our constructors write for float64 only: their node tests are run in that dtype as well. */
const IN_FLOAT64: ReadonlySet<string> = new Set(['MatMul']);

/** Operators that the sources of the graph libraries name. */
function written(known: ReadonlySet<string>): string[] {
  const sources = globSync('libs/{graph,optim}/src/**/*.ts', {
    cwd: ROOT,
    exclude: ['**/*.test.ts', '**/onnx*.ts', '**/opaque.ts'],
  });
  const names = new Set<string>();
  for (const path of sources) {
    const text = readFileSync(join(ROOT, path), 'utf8');
    for (const [, name] of text.matchAll(/\btype: '([A-Z]\w*)'/g)) names.add(name!);
    for (const [, name] of text.matchAll(/'([A-Z]\w*)'/g)) if (known.has(name!)) names.add(name!);
  }
  return [...names].sort();
}

interface NodeTest {
  readonly name: string;
  readonly directory: string;
  readonly model: ReadModel;
}

function nodeTests(directory: string): Map<string, NodeTest[]> {
  const found = new Map<string, NodeTest[]>();
  for (const path of globSync('*/model.onnx', { cwd: directory }).sort()) {
    let model: ReadModel;
    try {
      model = readOnnx(readFileSync(join(directory, path)));
    } catch (error) {
      assert.ok(isError(error, GRAPH.ONNX_UNSUPPORTED), `${path}: ${String(error)}`);
      continue;
    }
    const [node, ...more] = model.graph.nodes;
    if (!node || more.length > 0 || node.domain !== '') continue;
    const name = path.replace('/model.onnx', '');
    const tests = found.get(node.type) ?? [];
    found.set(node.type, tests);
    tests.push({ name, directory: join(directory, name, 'test_data_set_0'), model });
  }
  return found;
}

/** Tensors of a test by the names of the ports, in their order. */
function tensors(
  directory: string,
  kind: string,
  names: readonly string[],
  wide: boolean,
): Record<string, Tensor> {
  return Object.fromEntries(
    names
      .map((name, i) => [name, join(directory, `${kind}_${i}.pb`)] as const)
      .filter(([, path]) => existsSync(path))
      .map(([name, path]) => {
        const value = tensorOf(readOnnxTensor(readFileSync(path)));
        return [
          name,
          wide ? tensor('float64', value.shape, Float64Array.from(value.data as Float32Array)) : value,
        ];
      }),
  );
}

/** @param wide in float64 instead of float32 @param trained floats are parameters, so that nothing is run as it stands @returns the operators that the rebuilt model runs */
async function rebuiltAndRun(
  { model, directory }: NodeTest,
  { wide = false, trained = false }: { readonly wide?: boolean; readonly trained?: boolean } = {},
): Promise<string[]> {
  const inFloat64 = (port: ReadPort): ReadPort => (wide ? { ...port, element: 'float64' } : port);
  // Further outputs (indices, masks, statistics) are not imported; versions before 7 differ in broadcasting, which none of these does.
  const outputs = trained ? model.graph.outputs.slice(0, 1) : model.graph.outputs;
  const opsets = { ...model.opsets, ...(trained && (model.opsets[''] ?? 0) < 7 ? { '': 7 } : {}) };
  const graph = { ...model.graph, inputs: model.graph.inputs.map(inFloat64), outputs };
  const fed = tensors(
    directory,
    'input',
    graph.inputs.map(({ name }) => name),
    wide,
  );
  const expected = tensors(
    directory,
    'output',
    graph.outputs.map(({ name }) => name),
    wide,
  );
  const g = new GraphBuilder();
  // Shapes, axes, indices and what Pad and Clip are given are part of a graph here; everything else is an input.
  const isConstant = (name: string, { dtype }: Tensor): boolean =>
    graph.inputs[0]!.name !== name && (dtype === 'int64' || ['Pad', 'Clip'].includes(graph.nodes[0]!.type));
  const declare = (name: string, { shape, dtype }: Tensor): Value =>
    trained && dtype !== 'bool' ? g.parameter(name, shape, dtype) : g.shared(name, shape, dtype);
  const inputs = Object.fromEntries(
    Object.entries(fed).map(([name, value]) => [
      name,
      isConstant(name, value) ? g.constant(value.dtype, value.shape, value.data) : declare(name, value),
    ]),
  );
  const imported = importOnnx(g, { ...model, opsets, graph }, { inputs });
  assert.deepEqual(imported.opaque, [], 'an operator that we write was not mapped onto its constructor');
  for (const [name, value] of Object.entries(imported.outputs)) g.output(`${name}:result`, value);
  const built = g.build();
  const session = await Session.create(built);
  try {
    const feeds = Object.fromEntries(built.inputs.map(({ name }) => [name, fed[name]!]));
    const found = await session.run(feeds);
    for (const [name, value] of Object.entries(expected)) close(name, found[`${name}:result`]!, value);
  } finally {
    await session.close();
  }
  return readOnnx(built.bytes).graph.nodes.map(({ type }) => type);
}

/** The tolerance of ONNX' own runner of these tests. */
function close(name: string, found: Tensor, expected: Tensor): void {
  assert.ok(sameShape(found.shape, expected.shape), `${name} is [${found.shape}], not [${expected.shape}]`);
  assert.equal(found.dtype, expected.dtype);
  expected.data.forEach((value: number | bigint, i: number) => {
    const [a, b] = [Number(found.data[i]), Number(value)];
    const alike = Object.is(a, b) || a === b || Math.abs(a - b) <= 1e-7 + 1e-3 * Math.abs(b);
    assert.ok(alike, `${name}[${i}] is ${a}, not ${b}`);
  });
}

/** Runs tests in each of the ways; what the list of refusals does not say is wrong. */
async function runAll(
  tests: readonly NodeTest[],
  ways: readonly Parameters<typeof rebuiltAndRun>[1][],
): Promise<{
  readonly ran: ReadonlySet<string>;
  readonly passed: number;
  readonly wrong: readonly string[];
}> {
  const ran = new Set<string>();
  const wrong: string[] = [];
  let passed = 0;
  for (const item of tests) {
    const refusal = REFUSED[item.name] ?? REFUSED_TRAINED[item.name];
    try {
      for (const way of ways) for (const type of await rebuiltAndRun(item, way)) ran.add(type);
      passed++;
      if (refusal !== undefined) wrong.push(`${item.name} passes: take it off the list of refusals`);
    } catch (error) {
      const expected =
        error instanceof LetheError && refusal !== undefined && error.message.includes(refusal);
      if (!expected) wrong.push(`${item.name}: ${String(error)}`);
    }
  }
  return { ran, passed, wrong };
}

const directory = findOnnxTestData(ROOT);
const all = nodeTests(directory);
const operators = written(new Set(all.keys()));

for (const operator of operators) {
  test(`${operator} does what ONNX' node tests ask`, async () => {
    const reason = WITHOUT_NODE_TEST[operator];
    const tests = all.get(operator) ?? [];
    if (reason !== undefined) {
      assert.equal(tests.length, 0, `${operator} has node tests: take it off the list of those without`);
      return;
    }
    assert.ok(
      tests.length > 0,
      `${operator} has no node test: list it in WITHOUT_NODE_TEST, with the reason`,
    );
    const wide = IN_FLOAT64.has(operator) ? [{ wide: true }] : [];
    const { ran, wrong } = await runAll(tests, [{}, ...wide]);
    assert.deepEqual(wrong, []);
    assert.ok(ran.has(operator), `no node test of ${operator} made our constructors write it`);
  });
}

/** Operators that imported models have and that become several of ours, when something is trained on the way. */
const COMPOSED = [
  ...[
    'AveragePool',
    'BatchNormalization',
    'Conv',
    'Dropout',
    'Flatten',
    'GlobalAveragePool',
    'LayerNormalization',
  ],
  ...['LeakyRelu', 'MaxPool', 'Split', 'Squeeze', 'Sum', 'Unsqueeze'],
];

for (const operator of COMPOSED) {
  test(`an imported ${operator} that is trained computes what ONNX' node tests ask`, async () => {
    const tests = all.get(operator) ?? [];
    const { passed, wrong } = await runAll(tests, [{ trained: true }]);
    assert.deepEqual(wrong, []);
    assert.ok(passed > 0);
  });
}

test('the lists name what exists', () => {
  const names = new Set([...all.values()].flat().map(({ name }) => name));
  for (const name of Object.keys({ ...REFUSED, ...REFUSED_TRAINED }))
    assert.ok(names.has(name), `there is no node test ${name}`);
  for (const name of Object.keys(WITHOUT_NODE_TEST))
    assert.ok(operators.includes(name), `${name} is not written`);
  assert.ok(operators.length > 20);
});
