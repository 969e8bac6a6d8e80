export { calibrateNoise, type NoiseTarget } from './accountants/calibrate.ts';
export { contourEpsilon } from './accountants/contour.ts';
export {
  ACCOUNTANT_VERSION,
  type AccountedMechanism,
  calibratedLoss,
  calibrateNoiseMultiplier,
  epsilonOfComposition,
  epsilonUpper,
  type PrivacyLoss,
  type PrivacyLossQuestion,
  privacyLoss,
  privacyLossOfRuns,
} from './accountants/epsilon.ts';
export { groupEpsilon } from './accountants/group.ts';
export { type PldBound, pldEpsilon } from './accountants/pld.ts';
export { RDP_ORDERS, type RdpBound, rdpEpsilon, rdpOfRun, rdpOfStep } from './accountants/rdp.ts';
export { adaptiveEpsilon, RdpFilter } from './accountants/rdp-filter.ts';
export {
  noiseMultiplierAfterRounding,
  overflowProbability,
  type PrivacyRelation,
  type SampledGaussianRun,
} from './accountants/runs.ts';
export {
  type OpaqueGuarantee,
  type PrivacyBudget,
  privacyBudget,
  requireWithinBudget,
  type Spending,
  spentEpsilon,
} from './budget.ts';
export { BoundedSum, type ClippedStep } from './clipping/bounded-sum.ts';
export { DP_SGD_ADVICE, type DpSgdDefaults, dpSgdDefaults } from './defaults.ts';
export { PRIVACY } from './errors.ts';
export {
  chargeDigest,
  chargeReservation,
  epsilonSpent,
  type LedgerCharge,
  ledgerGenesis,
  openLedger,
  type PrivacyLedger,
  reserveSteps,
  verifyLedger,
} from './ledger.ts';
export {
  dyadicProbability,
  type ExecutionOptions,
  type MechanismSpec,
  mechanismHash,
  mechanismSpec,
} from './mechanism.ts';
export {
  BandedMechanism,
  type BandedStrategy,
  bandedRounds,
  bandedStrategy,
  prefixSumError,
} from './noise/banded.ts';
export { addGaussianNoise, GaussianStream, type NoisySum } from './noise/gaussian.ts';
export { type NoiseGrid, noiseGrid, roundToGrid } from './noise/grid.ts';
export { drawNoiseKey } from './noise/keystream.ts';
export { NOISE_GENERATOR, samplerCharge, samplerTotalVariation } from './noise/rounded-normal.ts';
export { StepNoise } from './noise/step-noise.ts';
export {
  type DpPlan,
  type DpPlanFields,
  dpPlan,
  type NeighboringRelation,
  NOISE_GENERATORS,
  PLAN_FORMAT,
  type PlanClipping,
  type PlanNoise,
  type PlanSampling,
  type PrivacyUnit,
  parsePlan,
  planBytes,
  planHash,
  planText,
} from './plan.ts';
export {
  adaptiveCost,
  calibratedPlan,
  composedCost,
  effectiveNoiseMultiplier,
  type PlanCost,
  type PlanPart,
  planCost,
} from './plan-cost.ts';
export { PrivacyRandomness, type RunMode } from './randomness.ts';
export { cyclicGroup, sampleCyclicPoisson } from './sampling/cyclic.ts';
export { capFor, samplePoisson, sampleTruncatedPoisson } from './sampling/poisson.ts';
export { type DpSgdParts, dpSgdStep } from './step/dp-sgd.ts';
export { type FrozenEncoder, type FrozenEncoderOptions, frozenEncoderModel } from './step/frozen-encoder.ts';
export { mlpModel, type Network, rowClassifier, rowUnits, type UnitRows } from './step/mlp-model.ts';
export { cnnModel, type Pictures, pictureUnits } from './step/picture-model.ts';
export type { PrivateModel, UnitSource } from './step/private-model.ts';
export { tokenUnits, transformerModel, type Windows } from './step/sequence-model.ts';
export {
  createDpTrainer,
  type DpTrainer,
  type DpTraining,
  type Engine,
  type StepNoiseSource,
} from './step/trainer.ts';
