import { shapeText } from '@lethe/tensor';
import { ancestors, type Value } from '../builder.ts';
import * as activations from './activations.ts';
import * as affine from './affine.ts';
import * as attention from './attention.ts';
import * as convolution from './convolution.ts';
import * as dense from './dense.ts';
import * as elementwise from './elementwise.ts';
import * as embedding from './embedding.ts';
import * as loss from './loss.ts';
import * as movement from './movement.ts';
import * as normalization from './normalization.ts';
import * as opaque from './opaque.ts';
import { type Mixes, type None, none, type Rule, type Vjp } from './rule.ts';
import * as structure from './structure.ts';

/**
 * Every rule of differentiation, one row an operation. "No rule" is a decision with a reason, never an omission: an operation
 * without a row cannot be built into a gradient, and the oracle test of @lethe/runtime fails when a row has no case there.
 */

const NO_PARAMETERS = none(
  'it has no parameters of its own; parameters reach an example through layers (dense, embedding, scale, shift)',
);

/** An operation without parameters. */
const plain = (vjp: Vjp | None, mixes: Mixes): Rule => ({
  vjp,
  perExample: NO_PARAMETERS,
  mixes,
});

const leaf = plain(
  none('it is an input of the graph: its cotangent is the gradient itself'),
  () => undefined,
);
const comparison = plain(none('a comparison is constant almost everywhere'), elementwise.elementwiseMixes);

/** A composite treats examples as the operators that it is made of do, each of which is asked, whatever the row says. */
export const bodyMixes: Mixes = (node, dependsOnExamples, subjects) => {
  const { source } = node;
  if (source.kind !== 'composite') return undefined;
  const dependent = new Set(node.inputs.filter((_, i) => dependsOnExamples[i]));
  const inside = (value: Value): readonly Value[] => (node.inputs.includes(value) ? [] : value.inputs);
  for (const value of ancestors([source.body], inside)) {
    if (value.op === 'examples' && !node.inputs.includes(value))
      return 'reads examples that are no input of it';
    const depends = value.inputs.map((input) => dependent.has(input));
    if (node.inputs.includes(value) || !depends.includes(true)) continue;
    dependent.add(value);
    const reason = RULES[value.op]?.mixes(value, depends, subjects);
    if (reason) return `${reason} (its ${value.op} of ${shapeText(value.shape)})`;
    if (!Object.hasOwn(RULES, value.op) || (value.shape[0] ?? 0) % subjects !== 0) {
      return `contains ${value.op} of ${shapeText(value.shape)}, whose first axis does not count subjects`;
    }
  }
  return undefined;
};

export const RULES: Readonly<Record<string, Rule>> = {
  examples: leaf,
  parameter: leaf,
  shared: leaf,
  constant: leaf,

  // Layers: vjp, ghostNorm, subjectGradients and clippedSum of each stand together in its file.
  dense: { vjp: dense.vjp, perExample: dense.perExample, mixes: dense.mixes },
  embedding: { vjp: embedding.vjp, perExample: embedding.perExample, mixes: embedding.mixes },
  scale: { vjp: affine.scaleVjp, perExample: affine.scale, mixes: affine.mixes },
  shift: { vjp: affine.shiftVjp, perExample: affine.shift, mixes: affine.mixes },
  scatterAdd: plain(
    none('it is built by gradients only, which are not differentiated again'),
    () => 'adds up rows of different examples',
  ),

  add: plain(elementwise.addVjp, elementwise.elementwiseMixes),
  sub: plain(elementwise.subVjp, elementwise.elementwiseMixes),
  mul: plain(elementwise.mulVjp, elementwise.elementwiseMixes),
  div: plain(elementwise.divVjp, elementwise.elementwiseMixes),
  neg: plain(elementwise.negated, elementwise.elementwiseMixes),
  sqrt: plain(elementwise.sqrt, elementwise.elementwiseMixes),
  exp: plain(elementwise.exp, elementwise.elementwiseMixes),
  log: plain(elementwise.log, elementwise.elementwiseMixes),
  relu: plain(elementwise.relu, elementwise.elementwiseMixes),
  tanh: plain(elementwise.tanh, elementwise.elementwiseMixes),
  sigmoid: plain(elementwise.sigmoid, elementwise.elementwiseMixes),
  abs: plain(elementwise.abs, elementwise.elementwiseMixes),
  reciprocal: plain(elementwise.reciprocal, elementwise.elementwiseMixes),
  erf: plain(elementwise.erf, elementwise.elementwiseMixes),
  maximum: plain(elementwise.maximum, elementwise.elementwiseMixes),
  where: plain(elementwise.chosen, elementwise.elementwiseMixes),

  reduceSum: plain(structure.reduceSumVjp, structure.reduceMixes),
  reduceMean: plain(structure.reduceMeanVjp, structure.reduceMixes),
  reduceSumSquare: plain(structure.reduceSumSquareVjp, structure.reduceMixes),
  reduceMax: plain(structure.reduceMaxVjp, structure.reduceMixes),
  reshape: plain(structure.reshapeVjp, structure.reshapeMixes),
  expand: plain(structure.expandVjp, elementwise.elementwiseMixes),
  transpose: plain(structure.transposeVjp, structure.transposeMixes),
  concat: plain(movement.concatVjp, movement.concatMixes),
  slice: plain(movement.sliceVjp, movement.sliceMixes),
  pad: plain(movement.padVjp, movement.padMixes),
  gather: plain(movement.gatherVjp, movement.gatherMixes),
  pick: plain(movement.pickVjp, movement.rowByRow),
  addAtIndices: plain(
    none('it is built by gradients only, which are not differentiated again'),
    movement.rowByRow,
  ),
  matmul: plain(structure.matmulVjp, structure.matmulMixes),
  addProduct: plain(structure.addProduct, structure.matmulMixes),
  softmax: plain(structure.softmaxVjp, structure.lastAxisMixes),
  logSoftmax: plain(structure.logSoftmaxVjp, structure.lastAxisMixes),

  unfold2d: plain(convolution.unfold2d, bodyMixes),
  layerNormalize: plain(normalization.centred, bodyMixes),
  rmsNormalize: plain(normalization.uncentred, bodyMixes),
  groupNormalize: plain(normalization.centred, bodyMixes),
  multiHeadAttention: plain(attention.multiHeadAttention, bodyMixes),
  gelu: plain(activations.gelu, bodyMixes),
  swish: plain(activations.swish, bodyMixes),
  hardTanh: plain(activations.insideUnit, elementwise.elementwiseMixes),
  hardSign: plain(activations.insideUnit, bodyMixes),
  softmaxCrossEntropy: plain(loss.softmaxCrossEntropy, bodyMixes),
  sigmoidCrossEntropy: plain(loss.sigmoidCrossEntropy, bodyMixes),
  infoNce: plain(loss.infoNce, loss.infoNceMixes),
  signStraightThrough: plain(elementwise.identity, bodyMixes),

  less: comparison,
  greater: comparison,
  greaterOrEqual: comparison,
  equal: comparison,
  sign: plain(
    none('a sign is constant almost everywhere; signStraightThrough passes gradients'),
    elementwise.elementwiseMixes,
  ),
  minimum: plain(
    none('it is used on clip factors only, which are not differentiated'),
    elementwise.elementwiseMixes,
  ),
  cast: plain(none('a change of dtype is used on conditions only'), elementwise.elementwiseMixes),
  round: plain(
    none('it is constant almost everywhere; signStraightThrough has a gradient'),
    elementwise.elementwiseMixes,
  ),
  stopGradient: plain(() => [undefined], elementwise.elementwiseMixes),

  // Imported from ONNX files as it is (onnx-import.ts).
  opaque: plain(opaque.vjp, opaque.mixes),
};
