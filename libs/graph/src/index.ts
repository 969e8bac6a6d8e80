export {
  dropout,
  gelu,
  hardSign,
  hardTanh,
  leakyRelu,
  quickGelu,
  silu,
} from './activations.ts';
export { type AttentionOptions, multiHeadAttention } from './attention.ts';
export { ancestors, GraphBuilder, type InputRole, type Model, type Value } from './builder.ts';
export {
  averagePool2d,
  conv2d,
  globalAveragePool2d,
  maxPool2d,
  unfold2d,
  type Window,
} from './convolution.ts';
export { cotangents, gradients } from './differentiate.ts';
export { GRAPH } from './errors.ts';
export * from './functions.ts';
export * from './layers.ts';
export {
  cosineLogits,
  cosineLoss,
  hinge,
  infoNce,
  klDivergence,
  meanSquaredError,
  normalizeRows,
  sigmoidCrossEntropy,
} from './losses.ts';
export {
  type LayerSummary,
  type ModelSummary,
  type ParameterSummary,
  summarizeModel,
} from './model-summary.ts';
export { type CnnSpec, cnn, cnnParameters, cnnSpec } from './models/cnn.ts';
export { type MlpSpec, mlp, mlpParameters } from './models/mlp.ts';
export { mlpStack, mlpStackParameters } from './models/mlp-stack.ts';
export type { ParameterSpec } from './models/parameters.ts';
export {
  type Transformer,
  type TransformerSpec,
  transformer,
  transformerParameters,
  transformerSpec,
} from './models/transformer.ts';
export { groupNormalize, layerNormalize, rmsNormalize } from './normalization.ts';
export {
  type Attribute,
  encodeModel,
  type OnnxGraph,
  type OnnxNode,
  type OnnxPort,
  type WrittenPort,
} from './onnx.ts';
export { type Exported, type ExportOptions, exportOnnx } from './onnx-export.ts';
export { type Imported, type ImportOptions, importOnnx } from './onnx-import.ts';
export {
  type Dimension,
  type OnnxElement,
  type ReadGraph,
  type ReadModel,
  type ReadNode,
  type ReadPort,
  readOnnx,
  readOnnxTensor,
  type StoredTensor,
  tensorOf,
} from './onnx-read.ts';
export * from './ops.ts';
export * from './ops-structure.ts';
export {
  type ClippedSum,
  type Clipping,
  type ClippingOptions,
  clippedGradientSum,
  explainPerExample,
  type NormPlan,
} from './per-example.ts';
export type { GhostNorm, LayerRules, None, ParametrisedUse, Rule } from './rules/rule.ts';
export { RULES } from './rules/table.ts';
