/**
 * What a plan of private training has to be for a claim to be certified on it, field by field. Written from FORMAT.md; the library that trains has a reader of its own.
 */
import { number, one, type Shape, text } from './shape.ts';

/** The members that the checks go on with; all others are checked here and not read again. */
export interface Plan {
  readonly accountant: string;
  readonly clipping: { readonly kind: string; readonly l2ClipNorm: number };
  readonly delta: number;
  readonly mechanism: string;
  readonly noise: { readonly multiplier: number };
  readonly relation: string;
  readonly sampling: { readonly kind: string; readonly probability: number };
  readonly steps: number;
  readonly unit: string;
}

type Fields = Readonly<Record<string, Shape<unknown>>>;
type Members = Readonly<Record<string, unknown>>;

/** Both accountants whose bounds a claim quotes, others that gave an opinion, and the version of them all. */
export const ACCOUNTANT = /^rdp\+pld(\+[a-z]+)*\/[1-9]\d{0,5}$/u;
export const ACCOUNTANT_EXPECTED = 'must name rdp+pld and a version, like rdp+pld+contour/2';

const WHOLE_MAX = 2 ** 40;
const LAYERS_MAX = 4_096;
/** A sum of squares of layer bounds may pass the whole bound by rounding and by nothing else. */
const ROUNDING = 1e-12;

const isPositive = (value: number): boolean => Number.isFinite(value) && value > 0;
const positive = number(isPositive, 'must be positive and finite');
const share = number((value) => value > 0 && value < 1, 'must be in (0, 1)');
const upTo = (most: number): Shape<number> =>
  number((value) => Number.isInteger(value) && value >= 1 && value <= most, `must be from 1 to ${most}`);
const probability = number(
  (value) => value > 0 && value <= 1 && Number.isInteger(value * 2 ** 53),
  'must be a multiple of 2^-53 in (0, 1]',
);

const isMembers = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Exactly these members. */
const members =
  (fields: Fields): Shape<unknown> =>
  (value, path) => {
    if (!isMembers(value)) return `${path} must be an object`;
    const unknown = Object.keys(value).find((key) => !Object.hasOwn(fields, key));
    if (unknown !== undefined) return `${path} has a member ${JSON.stringify(unknown)} that no plan has`;
    for (const [key, shape] of Object.entries(fields)) {
      const at = `${path}.${key}`;
      if (!Object.hasOwn(value, key)) return `${at} is missing`;
      const wrong = shape(value[key], at);
      if (wrong) return wrong;
    }
    return undefined;
  };

const byKind =
  (kinds: Readonly<Record<string, Fields>>): Shape<unknown> =>
  (value, path) => {
    const kind = isMembers(value) ? value.kind : undefined;
    if (typeof kind !== 'string' || !Object.hasOwn(kinds, kind)) {
      return `${path}.kind must be ${Object.keys(kinds).join(' or ')}`;
    }
    return members({ kind: one(kind), ...kinds[kind]! })(value, path);
  };

const layerBounds: Shape<unknown> = (value, path) =>
  Array.isArray(value) &&
  value.length >= 1 &&
  value.length <= LAYERS_MAX &&
  value.every((bound) => typeof bound === 'number' && isPositive(bound))
    ? undefined
    : `${path} must be 1 to ${LAYERS_MAX} positive numbers`;

const FIELDS: Fields = {
  accountant: text(ACCOUNTANT, ACCOUNTANT_EXPECTED),
  clipping: byKind({
    flat: { l2ClipNorm: positive },
    'per-layer': { l2ClipNorm: positive, layerL2ClipNorms: layerBounds },
    automatic: { l2ClipNorm: positive, stability: positive },
    adaptive: { l2ClipNorm: positive, quantile: share, learningRate: positive, countNoise: positive },
  }),
  delta: share,
  expectedUnits: positive,
  format: one('lethe-dp-plan-v1'),
  mechanism: one('dp-sgd'),
  noise: members({
    generator: one('aes-256-ctr/grid-ziggurat/1'),
    // Noise of a research run may be known to somebody: nothing is certified on it.
    mode: one('production'),
    multiplier: positive,
  }),
  relation: one('add-or-remove-one', 'replace-one'),
  sampling: byKind({
    poisson: { probability },
    'truncated-poisson': { probability, cap: upTo(WHOLE_MAX), population: upTo(WHOLE_MAX) },
  }),
  steps: upTo(10_000_000),
  unit: one('subject', 'record'),
};

const FEATURES = members({
  name: text(/^[a-z0-9-]{1,64}$/u, 'must be the name of a fixed transform'),
  digest: text(/^[0-9a-f]{64}$/u, 'must be 64 lower-case hex digits'),
});

/** Where the value departs from a plan that a claim can be certified on. */
export function refuseFields(plan: unknown): string | undefined {
  const withFeatures = isMembers(plan) && Object.hasOwn(plan, 'features');
  const wrong = members(withFeatures ? { ...FIELDS, features: FEATURES } : FIELDS)(plan, 'plan');
  return wrong ?? refuseBounds(plan as Plan & BoundsTogether);
}

interface BoundsTogether {
  readonly clipping: { readonly layerL2ClipNorms?: readonly number[] };
  readonly sampling: { readonly cap?: number; readonly population?: number };
}

/** Bounds that two members make together. */
function refuseBounds({ clipping, sampling }: Plan & BoundsTogether): string | undefined {
  const { layerL2ClipNorms: layers, l2ClipNorm } = clipping;
  if (layers && Math.hypot(...layers) > l2ClipNorm * (1 + ROUNDING)) {
    return 'plan.clipping.layerL2ClipNorms are together more than l2ClipNorm';
  }
  const { cap, population } = sampling;
  return cap !== undefined && population !== undefined && cap <= sampling.probability * population
    ? 'plan.sampling.cap must be above probability x population'
    : undefined;
}
