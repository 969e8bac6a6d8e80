/** From what a caller asks of a private run to the plan that it will run. Pure. */
import type { learning } from '@lethe/contracts';
import { FIXED_FEATURES } from '@lethe/datasets';
import {
  ACCOUNTANT_VERSION,
  type DpPlanFields,
  dpSgdDefaults,
  dyadicProbability,
  NOISE_GENERATORS,
  type PlanClipping,
  type PlanSampling,
} from '@lethe/privacy';
import { LEARNING } from '../errors.ts';

/** Every field is there. */
export type FilledDpSgdSpec = {
  readonly [K in keyof learning.DpSgdSpec]-?: NonNullable<learning.DpSgdSpec[K]>;
};

const ROWS_PER_SUBJECT_MAX = 1_024;
const HIDDEN_UNITS_MAX = 4_096;
const HIDDEN_UNITS = 64;
/** Constants of the papers: AUTO-S' stability; the quantile, the step and, in expected units, the noise of the count of adaptive clipping. */
const STABILITY = 0.01;
const ADAPTIVE = { quantile: 0.5, learningRate: 0.2, countNoise: 1 / 20 };

/** What this version trains; anything else is refused by name. */
const KNOWN = {
  unit: ['subject', 'record'],
  architecture: ['linear', 'mlp'],
  features: ['none', ...FIXED_FEATURES],
  noiseMode: ['production', 'research'],
  clipping: ['flat', 'automatic', 'adaptive'],
} as const;
const FIELD_NAMES = {
  unit: 'unit',
  architecture: 'architecture',
  features: 'features',
  noiseMode: 'noise_mode',
  clipping: 'clipping',
} as const;

function require(holds: boolean, field: string, expected: string): void {
  if (!holds) throw LEARNING.SPEC_INVALID(`${field} has to be ${expected}`, { details: { field } });
}

const isPositive = (value: number): boolean => Number.isFinite(value) && value > 0;

/**
 * The specification with its defaults in place: 0 and absent are the same. Deterministic, so that a request which is repeated gives the same.
 * @param records public number of records under the root
 */
export function filledDpSgdSpec(spec: learning.DpSgdSpec, records: number): FilledDpSgdSpec {
  const clip = spec.l2ClipNorm === 0 ? undefined : spec.l2ClipNorm;
  const defaults = dpSgdDefaults(records, clip);
  const or = (value: number, instead: number): number => (value === 0 ? instead : value);
  const unit = spec.unit || 'subject';
  return {
    epsilon: or(spec.epsilon, defaults.epsilon),
    delta: or(spec.delta, defaults.delta),
    samplingProbability: or(spec.samplingProbability, defaults.samplingProbability),
    steps: or(spec.steps, defaults.steps),
    l2ClipNorm: defaults.l2ClipNorm,
    learningRate: or(spec.learningRate, defaults.learningRate),
    momentum: spec.momentum,
    rowsPerSubjectMax: or(spec.rowsPerSubjectMax, defaults.rowsPerSubjectMax),
    unit,
    architecture: spec.architecture || 'linear',
    features: spec.features || 'none',
    noiseMode: spec.noiseMode || 'production',
    cap: spec.cap ?? 0,
    relation: spec.relation || 'add-or-remove-one',
    clipping: spec.clipping || 'flat',
    hiddenUnits: spec.hiddenUnits || HIDDEN_UNITS,
  };
}

/** @throws LETHE-4301 names the field */
export function checkDpSgdSpec(spec: learning.DpSgdSpec): void {
  // Zero is the default and is not judged.
  const positiveOrDefault = (value: number, field: string): void =>
    require(value === 0 || isPositive(value), field, 'positive, or 0 for the default');
  positiveOrDefault(spec.epsilon, 'epsilon');
  positiveOrDefault(spec.learningRate, 'learning_rate');
  positiveOrDefault(spec.l2ClipNorm, 'l2_clip_norm');
  require(spec.momentum >= 0 && spec.momentum < 1, 'momentum', 'in [0, 1)');
  require(spec.delta >= 0 && spec.delta < 1, 'delta', 'in (0, 1), or 0 for the default');
  require(spec.samplingProbability >= 0 &&
    spec.samplingProbability <= 1, 'sampling_probability', 'in (0, 1], or 0 for the default');
  require(Number.isInteger(spec.rowsPerSubjectMax) &&
    spec.rowsPerSubjectMax >= 0 &&
    spec.rowsPerSubjectMax <=
      ROWS_PER_SUBJECT_MAX, 'rows_per_subject_max', `an integer from 1 to ${ROWS_PER_SUBJECT_MAX}, or 0 for the default`);
  for (const [field, known] of Object.entries(KNOWN) as [keyof typeof KNOWN, readonly string[]][]) {
    const value = spec[field];
    require(!value || known.includes(value), FIELD_NAMES[
      field
    ], `${known.join(' or ')}: this version trains nothing else`);
  }
  require(Number.isInteger(spec.hiddenUnits ?? 0) &&
    (spec.hiddenUnits ?? 0) <=
      HIDDEN_UNITS_MAX, 'hidden_units', `an integer from 1 to ${HIDDEN_UNITS_MAX}, or 0 for the default`);
}

/**
 * The divisor of DP-SGD's sum. Made of public numbers alone: the record count stands in the transparency log with the root, and canaries are nobody
 * (each counts as one record). @returns at least 1
 */
export function expectedUnits(spec: FilledDpSgdSpec, publicRecords: number): number {
  const perUnit = spec.unit === 'record' ? 1 : spec.rowsPerSubjectMax;
  return Math.max(1, (spec.samplingProbability * publicRecords) / perUnit);
}

function planClipping({ clipping: kind, l2ClipNorm }: FilledDpSgdSpec, units: number): PlanClipping {
  if (kind === 'automatic') return { kind, l2ClipNorm, stability: STABILITY };
  if (kind !== 'adaptive') return { kind: 'flat', l2ClipNorm };
  const { quantile, learningRate, countNoise } = ADAPTIVE;
  return { kind, l2ClipNorm, quantile, learningRate, countNoise: Math.max(1, countNoise * units) };
}

/** The plan but for its noise multiplier, which calibration finds. @param publicRecords under the root, without canaries */
export function planFields(
  spec: FilledDpSgdSpec,
  publicRecords: number,
): Omit<DpPlanFields, 'noise'> & { readonly noise: Omit<DpPlanFields['noise'], 'multiplier'> } {
  const probability = dyadicProbability(spec.samplingProbability);
  const units = expectedUnits(spec, publicRecords);
  const sampling: PlanSampling =
    spec.cap > 0
      ? { kind: 'truncated-poisson', probability, cap: spec.cap, population: publicRecords }
      : { kind: 'poisson', probability };
  return {
    unit: spec.unit as DpPlanFields['unit'],
    relation: spec.relation as DpPlanFields['relation'],
    sampling,
    steps: spec.steps,
    expectedUnits: units,
    clipping: planClipping(spec, units),
    noise: {
      generator: NOISE_GENERATORS[0],
      mode: spec.noiseMode as DpPlanFields['noise']['mode'],
    },
    mechanism: 'dp-sgd',
    delta: spec.delta,
    accountant: ACCOUNTANT_VERSION,
  };
}
