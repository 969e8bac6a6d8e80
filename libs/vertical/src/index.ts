export { type Alignment, batchRoot, epochBatches, type RowPseudonym } from './alignment.ts';
export { decodeCheckpoint, encodeCheckpoint } from './checkpoint.ts';
export { codeBytes, packCodes, unpackCodes } from './code-wire.ts';
export { VERTICAL } from './errors.ts';
export { decodeGradients, encodeGradients, type GradientFormat, gradientRowBytes } from './gradient-wire.ts';
export { hashLayer, hashLayerWith } from './hash-layer.ts';
export {
  bottomEvalGraph,
  bottomForwardGraph,
  bottomStepGraph,
  checkPlan,
  planOf,
  type Representation,
  topForwardGraph,
  topStepGraph,
  type VerticalPlan,
  verticalPlan,
} from './networks.ts';
export { orthogonalTargets } from './orthogonal-targets.ts';
export { PartyTrainer } from './party-trainer.ts';
export {
  type CoordinatorEffect,
  type CoordinatorEvent,
  type CoordinatorState,
  coordinateStep,
  followStep,
  type PartyEffect,
  type PartyEvent,
  type PartyState,
  type StepStart,
  type Transition,
} from './step-protocol.ts';
export { type TopStep, TopTrainer } from './top-trainer.ts';
export { type Checkpoint, type GraphSession, type LoadGraph, learningRateAt } from './trainer.ts';
