/**
 * The plan of a private training: one immutable, canonical, hashed document. The trainer runs plans and nothing else, the accountants price
 * them, the ledger charges against their hash and the certificate quotes it. Nothing is inferred from a loader: what is not written here does not
 * happen. What only changes speed (chunks, threads, look-ahead of the noise) is not in it.
 *
 * Evolution: `format` names the version. A field is never removed and never changes its meaning; another meaning is another version; a kind that a
 * reader does not know is refused, never "fine". The record before this one is `MechanismSpec`, which stays readable for old histories.
 */
import { canonicalJson, hex, sha256, utf8 } from '@lethe/std';
import { PRIVACY } from './errors.ts';
import { NOISE_GENERATOR } from './noise/rounded-normal.ts';

export const PLAN_FORMAT = 'lethe-dp-plan-v1';

/** Whose presence the guarantee hides: everything of one data subject, or one record. */
export type PrivacyUnit = 'subject' | 'record';
/** Neighbouring data sets differ in one unit that is there or not, or in one that is exchanged for another. */
export type NeighboringRelation = 'add-or-remove-one' | 'replace-one';

export type PlanSampling =
  | {
      /** Each unit joins each step independently. */
      readonly kind: 'poisson';
      /** A multiple of 2^-53 in (0, 1], so that plan and draw agree to the last bit (`dyadicProbability`). */
      readonly probability: number;
    }
  | {
      /** As Poisson; of a draw of more than `cap` units a uniform subset of `cap` is kept. Fixed shapes, at a cost that is charged. */
      readonly kind: 'truncated-poisson';
      readonly probability: number;
      readonly cap: number;
      /** A public upper bound on the number of units: the trainer refuses more, the charge counts on it. */
      readonly population: number;
    };

/** How one unit's contribution to one step's sum is bounded by `l2ClipNorm`. */
export type PlanClipping =
  | { readonly kind: 'flat'; readonly l2ClipNorm: number }
  /** One bound per parameter group; together, as a Euclidean norm, at most `l2ClipNorm`. */
  | { readonly kind: 'per-layer'; readonly l2ClipNorm: number; readonly layerL2ClipNorms: readonly number[] }
  /** Scaled by l2ClipNorm / (norm + stability): Bu et al., arXiv 2206.07136v3 (AUTO-S). */
  | { readonly kind: 'automatic'; readonly l2ClipNorm: number; readonly stability: number }
  /**
   * The bound follows a quantile of the norms: Andrew et al., arXiv 1905.03871v5. `l2ClipNorm` is the first bound; each step also releases the number of
   * units within the bound, each counted as plus or minus one half, with noise of standard deviation `countNoise`, and that is charged.
   */
  | {
      readonly kind: 'adaptive';
      readonly l2ClipNorm: number;
      readonly quantile: number;
      readonly learningRate: number;
      readonly countNoise: number;
    };

/** Samplers that a plan can name, each with its keystream. */
export const NOISE_GENERATORS = [NOISE_GENERATOR] as const;

export interface PlanNoise {
  /** Standard deviation of the noise on the sum, divided by the bound in force. */
  readonly multiplier: number;
  readonly generator: (typeof NOISE_GENERATORS)[number];
  /** `research` accepts a seeded source and is not for release. */
  readonly mode: 'production' | 'research';
}

export interface DpPlan {
  readonly format: typeof PLAN_FORMAT;
  readonly unit: PrivacyUnit;
  readonly relation: NeighboringRelation;
  readonly sampling: PlanSampling;
  /** Noisy updates that may be released. */
  readonly steps: number;
  /** Divisor of the noisy sum: a public number near probability x units, never the size of a draw. */
  readonly expectedUnits: number;
  readonly clipping: PlanClipping;
  readonly noise: PlanNoise;
  readonly mechanism: 'dp-sgd';
  readonly delta: number;
  /** Which accountants have priced it. */
  readonly accountant: string;
  /** Fixed transform of each row before the model, by name and SHA-256 of its constants, hex; absent for none. Nothing in it was fitted on records. */
  readonly features?: { readonly name: string; readonly digest: string };
}

/** As a caller or a file gives it: kinds that this version knows of and refuses are still words of the vocabulary. */
export type DpPlanFields = Omit<DpPlan, 'format' | 'mechanism' | 'noise'> & {
  readonly mechanism: 'dp-sgd' | 'band-mf';
  readonly noise: Omit<PlanNoise, 'mode'> & { readonly mode: PlanNoise['mode'] | 'hardened' };
};

const TWO_53 = 2 ** 53;
const STEPS_MAX = 10_000_000;
const POPULATION_MAX = 2 ** 40;
const LAYERS_MAX = 4_096;
/** A sum of squares of layer bounds may pass the whole bound by rounding and by nothing else. */
const ROUNDING = 1e-12;

/** One refusal: the path of the field, what it is, and what it would have to be. */
function require(holds: boolean, field: string, value: unknown, expected: string): asserts holds {
  if (holds) return;
  const shown = typeof value === 'object' ? canonicalOr(value) : String(value);
  throw PRIVACY.PLAN_REFUSED(`${field} is ${shown}; it has to be ${expected}`, { details: { field } });
}

function canonicalOr(value: unknown): string {
  try {
    return canonicalJson(value).slice(0, 80);
  } catch {
    return 'not JSON';
  }
}

const isPositive = (value: unknown): value is number =>
  typeof value === 'number' && Number.isFinite(value) && value > 0;
const isShare = (value: unknown): value is number => isPositive(value) && value < 1;
const isWholeUpTo = (value: unknown, limit: number): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= limit;
const isOneOf = <T extends string>(value: unknown, known: readonly T[]): value is T =>
  known.some((one) => one === value);

/**
 * Checks every field, refuses what no accountant here can price, and freezes a copy to the bottom. The same fields give the same bytes.
 * @throws LETHE-3307 names the field, its value and what it has to be
 */
export function dpPlan(fields: DpPlanFields): DpPlan {
  const { unit, relation, steps, expectedUnits, mechanism, delta, accountant } = fields;
  require(isOneOf(unit, ['subject', 'record']), 'unit', unit, 'subject or record');
  require(isOneOf(relation, [
    'add-or-remove-one',
    'replace-one',
  ]), 'relation', relation, 'add-or-remove-one or replace-one');
  require(isWholeUpTo(steps, STEPS_MAX), 'steps', steps, `an integer from 1 to ${STEPS_MAX}`);
  require(isPositive(expectedUnits), 'expectedUnits', expectedUnits, 'positive and finite');
  require(isShare(delta), 'delta', delta, 'in (0, 1)');
  require(mechanism ===
    'dp-sgd', 'mechanism', mechanism, 'dp-sgd: correlated noise (band-mf) has no accountant here');
  require(typeof accountant === 'string' &&
    /^[a-z0-9+./-]{1,64}$/u.test(
      accountant,
    ), 'accountant', accountant, 'the version of the accountants, in lower case');
  const plan: DpPlan = {
    format: PLAN_FORMAT,
    unit,
    relation,
    sampling: Object.freeze(checkedSampling(fields.sampling)),
    steps,
    expectedUnits,
    clipping: Object.freeze(checkedClipping(fields.clipping)),
    noise: Object.freeze(checkedNoise(fields.noise)),
    mechanism,
    delta,
    accountant,
    ...(fields.features === undefined ? {} : { features: Object.freeze(checkedFeatures(fields.features)) }),
  };
  return Object.freeze(plan);
}

function checkedSampling(sampling: PlanSampling): PlanSampling {
  const { kind, probability } = sampling ?? {};
  require(isOneOf(kind, [
    'poisson',
    'truncated-poisson',
  ]), 'sampling.kind', kind, 'poisson or truncated-poisson: shuffling and fixed batches are other mechanisms, without this amplification');
  require(isPositive(probability) &&
    probability <= 1 &&
    Number.isInteger(
      probability * TWO_53,
    ), 'sampling.probability', probability, 'a multiple of 2^-53 in (0, 1] (see dyadicProbability)');
  if (sampling.kind === 'poisson') return { kind: 'poisson', probability };
  const { cap, population } = sampling;
  require(isWholeUpTo(
    population,
    POPULATION_MAX,
  ), 'sampling.population', population, 'a public upper bound on the number of units: the cost of the cap depends on it');
  require(isWholeUpTo(cap, POPULATION_MAX) &&
    cap > probability * population, 'sampling.cap', cap, 'an integer above probability x population');
  return { kind: 'truncated-poisson', probability, cap, population };
}

function checkedClipping(clipping: PlanClipping): PlanClipping {
  const { kind, l2ClipNorm } = clipping ?? {};
  require(isOneOf(kind, [
    'flat',
    'per-layer',
    'automatic',
    'adaptive',
  ]), 'clipping.kind', kind, 'flat, per-layer, automatic or adaptive');
  require(isPositive(l2ClipNorm), 'clipping.l2ClipNorm', l2ClipNorm, 'positive and finite');
  switch (clipping.kind) {
    case 'flat':
      return { kind: 'flat', l2ClipNorm };
    case 'per-layer': {
      const bounds = clipping.layerL2ClipNorms;
      const field = 'clipping.layerL2ClipNorms';
      require(Array.isArray(bounds) &&
        bounds.length >= 1 &&
        bounds.length <= LAYERS_MAX &&
        bounds.every(isPositive), field, bounds, `1 to ${LAYERS_MAX} positive bounds`);
      require(Math.hypot(...bounds) <=
        l2ClipNorm *
          (1 +
            ROUNDING), field, bounds, 'together, as a Euclidean norm, at most l2ClipNorm: scale them by l2ClipNorm / their norm');
      return { kind: 'per-layer', l2ClipNorm, layerL2ClipNorms: Object.freeze([...bounds]) };
    }
    case 'automatic': {
      const { stability } = clipping;
      require(isPositive(
        stability,
      ), 'clipping.stability', stability, 'positive and finite: 0.01 in the paper');
      return { kind: 'automatic', l2ClipNorm, stability };
    }
    case 'adaptive': {
      const { quantile, learningRate, countNoise } = clipping;
      require(isShare(quantile), 'clipping.quantile', quantile, 'in (0, 1): 0.5 in the paper');
      require(isPositive(
        learningRate,
      ), 'clipping.learningRate', learningRate, 'positive and finite: 0.2 in the paper');
      require(isPositive(
        countNoise,
      ), 'clipping.countNoise', countNoise, 'positive: the count that the bound follows is a release of its own; expectedUnits / 20 in the paper');
      return { kind: 'adaptive', l2ClipNorm, quantile, learningRate, countNoise };
    }
  }
}

function checkedNoise(noise: DpPlanFields['noise']): PlanNoise {
  const { multiplier, generator, mode } = noise ?? {};
  require(isPositive(multiplier), 'noise.multiplier', multiplier, 'positive and finite');
  require(isOneOf(generator, NOISE_GENERATORS), 'noise.generator', generator, NOISE_GENERATORS.join(' or '));
  require(isOneOf(mode, [
    'production',
    'research',
  ]), 'noise.mode', mode, 'production or research: noise of both lies on a grid that the data do not move, so there is no hardened mode apart');
  return { multiplier, generator, mode };
}

function checkedFeatures(features: NonNullable<DpPlan['features']>): NonNullable<DpPlan['features']> {
  const { name, digest } = features ?? {};
  require(typeof name === 'string' &&
    /^[a-z0-9-]{1,64}$/u.test(name), 'features.name', name, 'the name of a fixed transform');
  require(typeof digest === 'string' &&
    /^[0-9a-f]{64}$/u.test(digest), 'features.digest', digest, '64 lower-case hex digits');
  return { name, digest };
}

/** RFC 8785 text of a plan. */
export const planText = (plan: DpPlan): string => canonicalJson(plan);

export const planBytes = (plan: DpPlan): Uint8Array => utf8(planText(plan));

/** SHA-256 of a domain tag and the canonical text, in hex: the plan's identity in ledger, budget and certificate. */
export const planHash = (plan: DpPlan): string => hex(sha256('lethe/privacy/plan/v1\0', planText(plan)));

/**
 * Reads a plan back: the bytes must be exactly those that `planBytes` writes, so a member that this version does not know is refused and two texts never
 * mean one plan. @throws LETHE-3310 not such bytes; LETHE-3307 a field
 */
export function parsePlan(bytes: Uint8Array): DpPlan {
  let text: string;
  let fields: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    fields = JSON.parse(text);
  } catch (cause) {
    throw PRIVACY.PLAN_UNREADABLE('the bytes are no JSON in UTF-8', { cause });
  }
  if (typeof fields !== 'object' || fields === null || !('format' in fields)) {
    throw PRIVACY.PLAN_UNREADABLE('the bytes are no plan');
  }
  if (fields.format !== PLAN_FORMAT) {
    throw PRIVACY.PLAN_UNREADABLE(`the plan is not of format ${PLAN_FORMAT}`);
  }
  const plan = dpPlan(fields as unknown as DpPlanFields);
  if (planText(plan) !== text) {
    throw PRIVACY.PLAN_UNREADABLE(
      'the bytes are not canonical, or have a member that this version does not know',
    );
  }
  return plan;
}
