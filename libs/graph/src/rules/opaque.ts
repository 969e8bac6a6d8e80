import { type Mixes, none } from './rule.ts';

/** Imported operators that this library can run but not differentiate (see onnx-opaque.ts). */

export const vjp = none(
  'it was imported as it is, without a rule: train only what comes after it, or replace it by operations of this library',
);

/** Operators that compute row i of the result from row i of their first input alone, the others being the same for all rows. */
const ROW_BY_ROW: ReadonlySet<string> = new Set([
  ...[
    'Abs',
    'Acos',
    'Asin',
    'Atan',
    'Ceil',
    'Celu',
    'Clip',
    'Cos',
    'Cosh',
    'Elu',
    'Erf',
    'Floor',
    'HardSigmoid',
    'HardSwish',
  ],
  ...[
    'LeakyRelu',
    'Mish',
    'Not',
    'PRelu',
    'Round',
    'Selu',
    'Sign',
    'Sin',
    'Sinh',
    'Softplus',
    'Softsign',
    'Tan',
    'ThresholdedRelu',
  ],
  ...[
    'Conv',
    'ConvTranspose',
    'MaxPool',
    'AveragePool',
    'LpPool',
    'GlobalAveragePool',
    'GlobalMaxPool',
    'LRN',
  ],
  ...['InstanceNormalization', 'DepthToSpace', 'SpaceToDepth'],
]);

export const mixes: Mixes = (node, [, ...others], subjects) => {
  const type = node.source.kind === 'operator' ? node.source.type : node.op;
  if (!ROW_BY_ROW.has(type)) {
    return `is an imported ${type}, and whether that keeps examples apart is not known: run the imported part on its own and feed its result as examples`;
  }
  const kept = node.shape[0] === node.inputs[0]!.shape[0] && node.shape[0]! % subjects === 0;
  return others.includes(true) || !kept
    ? `is an imported ${type} that does not keep the example axis`
    : undefined;
};
