import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalJson, isError, utf8 } from '@lethe/std';
import fc from 'fast-check';
import { PRIVACY } from './errors.ts';
import { dyadicProbability } from './mechanism.ts';
import { type DpPlanFields, dpPlan, NOISE_GENERATORS, parsePlan, planBytes, planHash } from './plan.ts';

const positive = fc.double({ min: 1e-6, max: 1e6, noNaN: true });
const share = fc.double({ min: 1e-12, max: 0.999, noNaN: true });
const probability = share.map(dyadicProbability).filter((q) => q > 0);

const sampling = fc.oneof(
  fc.record({ kind: fc.constant('poisson' as const), probability }),
  fc
    .record({
      probability,
      population: fc.integer({ min: 1, max: 1e9 }),
      above: fc.integer({ min: 1, max: 1e6 }),
    })
    .map(({ probability: q, population, above }) => ({
      kind: 'truncated-poisson' as const,
      probability: q,
      population,
      cap: Math.ceil(q * population) + above,
    })),
);
const clipping = fc.oneof(
  fc.record({ kind: fc.constant('flat' as const), l2ClipNorm: positive }),
  fc.array(positive, { minLength: 1, maxLength: 5 }).map((layerL2ClipNorms) => ({
    kind: 'per-layer' as const,
    l2ClipNorm: Math.hypot(...layerL2ClipNorms),
    layerL2ClipNorms,
  })),
  fc.record({ kind: fc.constant('automatic' as const), l2ClipNorm: positive, stability: positive }),
  fc.record({
    kind: fc.constant('adaptive' as const),
    l2ClipNorm: positive,
    quantile: share,
    learningRate: positive,
    countNoise: positive,
  }),
);
const plans: fc.Arbitrary<DpPlanFields> = fc.record({
  unit: fc.constantFrom('subject' as const, 'record' as const),
  relation: fc.constantFrom('add-or-remove-one' as const, 'replace-one' as const),
  sampling,
  steps: fc.integer({ min: 1, max: 1e7 }),
  expectedUnits: positive,
  clipping,
  noise: fc.record({
    multiplier: positive,
    generator: fc.constantFrom(...NOISE_GENERATORS),
    mode: fc.constantFrom('production' as const, 'research' as const),
  }),
  mechanism: fc.constant('dp-sgd' as const),
  delta: share,
  accountant: fc.constantFrom('rdp+pld/1', 'pld+contour/2'),
  features: fc.constantFrom(
    { name: 'hog', digest: 'ab'.repeat(32) },
    { name: 'other', digest: '00'.repeat(32) },
  ),
});

/** The same value with its members in another order, at every depth. */
function reordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reordered);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, member]) => [key, reordered(member)]),
  );
}

/** Every leaf of a JSON value with its path. */
function leaves(value: unknown, path: readonly string[] = []): { path: readonly string[]; value: unknown }[] {
  if (typeof value !== 'object' || value === null) return [{ path, value }];
  return Object.entries(value).flatMap(([key, member]) => leaves(member, [...path, key]));
}

function changed(value: unknown, [key, ...rest]: readonly string[], to: unknown): unknown {
  if (key === undefined) return to;
  const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<string, unknown>;
  copy[key] = changed(copy[key], rest, to);
  return copy;
}

test('a plan has one form: whatever the order of its members, and back from its bytes; frozen to the bottom', () => {
  fc.assert(
    fc.property(plans, (fields) => {
      const plan = dpPlan(fields);
      const again = dpPlan(reordered(fields) as DpPlanFields);
      assert.equal(planHash(again), planHash(plan));
      assert.deepEqual(parsePlan(planBytes(plan)), plan);
      assert.ok([plan, plan.sampling, plan.clipping, plan.noise].every(Object.isFrozen));
    }),
  );
});

test('the hash changes with every field', () => {
  fc.assert(
    fc.property(plans, (fields) => {
      const plan = dpPlan(fields);
      for (const { path, value } of leaves(plan)) {
        const other = typeof value === 'number' ? value * 2 : `${String(value)}x`;
        const altered = changed(plan, path, other);
        assert.notEqual(planHash(altered as typeof plan), planHash(plan), path.join('.'));
      }
    }),
    { numRuns: 30 },
  );
});

const good: DpPlanFields = {
  unit: 'subject',
  relation: 'add-or-remove-one',
  sampling: { kind: 'poisson', probability: 0.25 },
  steps: 60,
  expectedUnits: 100,
  clipping: { kind: 'flat', l2ClipNorm: 1 },
  noise: { multiplier: 3, generator: 'aes-256-ctr/grid-ziggurat/1', mode: 'production' },
  mechanism: 'dp-sgd',
  delta: 1e-5,
  accountant: 'rdp+pld/1',
};

test('what cannot be priced or is no plan is refused before work starts, by the name of the field and with what it has to be', () => {
  const cases: readonly (readonly [string, unknown])[] = [
    ['unit', { ...good, unit: 'household' }],
    ['relation', { ...good, relation: 'zero-out' }],
    ['sampling.kind', { ...good, sampling: { kind: 'shuffle', probability: 0.1 } }],
    ['sampling.kind', { ...good, sampling: undefined }],
    ['sampling.probability', { ...good, sampling: { kind: 'poisson', probability: 1 / 3 / 2 ** 20 } }],
    ['sampling.probability', { ...good, sampling: { kind: 'poisson', probability: 0 } }],
    ['sampling.population', { ...good, sampling: { kind: 'truncated-poisson', probability: 0.25, cap: 90 } }],
    [
      'sampling.cap',
      { ...good, sampling: { kind: 'truncated-poisson', probability: 0.25, cap: 100, population: 400 } },
    ],
    ['steps', { ...good, steps: 0 }],
    ['steps', { ...good, steps: '60' }],
    ['expectedUnits', { ...good, expectedUnits: 0 }],
    ['clipping.kind', { ...good, clipping: { kind: 'none', l2ClipNorm: 1 } }],
    ['clipping.l2ClipNorm', { ...good, clipping: { kind: 'flat', l2ClipNorm: Infinity } }],
    [
      'clipping.layerL2ClipNorms',
      { ...good, clipping: { kind: 'per-layer', l2ClipNorm: 1, layerL2ClipNorms: [1, 0.1] } },
    ],
    ['clipping.stability', { ...good, clipping: { kind: 'automatic', l2ClipNorm: 1 } }],
    [
      'clipping.countNoise',
      { ...good, clipping: { kind: 'adaptive', l2ClipNorm: 1, quantile: 0.5, learningRate: 0.2 } },
    ],
    ['noise.multiplier', { ...good, noise: { ...good.noise, multiplier: 0 } }],
    ['noise.generator', { ...good, noise: { ...good.noise, generator: 'xorshift' } }],
    ['noise.mode', { ...good, noise: { ...good.noise, mode: 'hardened' } }],
    ['mechanism', { ...good, mechanism: 'band-mf' }],
    ['delta', { ...good, delta: 1 }],
    ['accountant', { ...good, accountant: '' }],
    ['features.name', { ...good, features: { name: 'Fitted!', digest: '0'.repeat(64) } }],
    ['features.digest', { ...good, features: { name: 'hog', digest: 'abc' } }],
  ];
  for (const [field, fields] of cases) {
    assert.throws(
      () => dpPlan(fields as DpPlanFields),
      (error: unknown) =>
        isError(error, PRIVACY.PLAN_REFUSED) &&
        error.details.field === field &&
        /it has to be/u.test(error.message),
      field,
    );
  }
});

test('bytes that are not exactly a plan of this version are refused', () => {
  const plan = dpPlan(good);
  const bytes = (value: unknown): Uint8Array => utf8(canonicalJson(value));
  const unreadable = [
    utf8('nonsense'),
    utf8('null'),
    utf8('[]'),
    bytes({ ...plan, format: 'lethe-dp-plan-v2' }),
    bytes({ ...plan, epochs: 3 }),
    bytes({ ...plan, sampling: { ...plan.sampling, cap: 3 } }),
    utf8(JSON.stringify(plan, undefined, 1)),
    Uint8Array.of(0xff, 0xfe),
    utf8(`\ufeff${canonicalJson(plan)}`),
  ];
  for (const [i, given] of unreadable.entries()) {
    assert.throws(
      () => parsePlan(given),
      (error: unknown) => isError(error, PRIVACY.PLAN_UNREADABLE),
      `case ${i}`,
    );
  }
  assert.throws(
    () => parsePlan(bytes({ ...plan, steps: -1 })),
    (error: unknown) => isError(error, PRIVACY.PLAN_REFUSED),
  );
});

test('the bytes and the hash of a plan stay what they are', () => {
  assert.equal(
    new TextDecoder().decode(planBytes(dpPlan(good))),
    '{"accountant":"rdp+pld/1","clipping":{"kind":"flat","l2ClipNorm":1},"delta":0.00001,"expectedUnits":100,"format":"lethe-dp-plan-v1",' +
      '"mechanism":"dp-sgd","noise":{"generator":"aes-256-ctr/grid-ziggurat/1","mode":"production","multiplier":3},"relation":"add-or-remove-one",' +
      '"sampling":{"kind":"poisson","probability":0.25},"steps":60,"unit":"subject"}',
  );
  assert.equal(planHash(dpPlan(good)), 'ebdd0367d12bebc090c1a082f86d7de41ec0bce522f9f0d198770df91cf62582');
});
