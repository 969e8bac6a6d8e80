export {
  ACCOUNTANT_VERSION,
  type AccountedMechanism,
  calibrateNoiseMultiplier,
  epsilonUpper,
} from './accountants/epsilon.ts';
export { pldEpsilonUpper } from './accountants/pld.ts';
export { RDP_ORDERS, rdpEpsilonUpper, rdpOfStep } from './accountants/rdp.ts';
export {
  type OpaqueGuarantee,
  type PrivacyBudget,
  privacyBudget,
  requireWithinBudget,
  type Spending,
  spentEpsilon,
} from './budget.ts';
export { BoundedSum, type ClippedStep } from './clipping/bounded-sum.ts';
export {
  type ClippedGraphSpec,
  clippedGradientGraph,
  type GraphRun,
  graphClippedStep,
  type ModelParameters,
  type SubjectRows,
} from './clipping/clipped-graph.ts';
export { PRIVACY } from './errors.ts';
export {
  chargeReservation,
  epsilonSpent,
  openLedger,
  type PrivacyLedger,
  reserveSteps,
  type StepReservation,
} from './ledger.ts';
export {
  dyadicProbability,
  type ExecutionOptions,
  type MechanismSpec,
  mechanismHash,
  mechanismSpec,
} from './mechanism.ts';
export { addGaussianNoise, GaussianStream, type NoisySum } from './noise/gaussian.ts';
export { type NoiseGrid, noiseGrid, roundToGrid } from './noise/grid.ts';
export { drawNoiseKey } from './noise/keystream.ts';
export { NOISE_GENERATOR, samplerTotalVariation } from './noise/rounded-normal.ts';
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
  calibratedPlan,
  composedCost,
  effectiveNoiseMultiplier,
  type PlanCost,
  type PlanPart,
  planCost,
} from './plan-cost.ts';
export { PrivacyRandomness, type RunMode } from './randomness.ts';
export { capFor, samplePoisson, sampleTruncatedPoisson } from './sampling/poisson.ts';
export { type DpSgdRun, dpSgdStep, type GradientUpdate } from './step/dp-sgd.ts';
export { heavyBall } from './step/momentum.ts';
