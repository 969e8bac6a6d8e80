import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalJson, hex, sha256 } from '@lethe/std';
import type { Claim } from './body.ts';
import { refusePlan } from './privacy-plan.ts';

/** What @lethe/privacy has written for a plan of 60 steps, charged in blocks of 15; its own tests hold it to the same digests. */
const PLAN =
  '{"accountant":"rdp+pld/1","clipping":{"kind":"flat","l2ClipNorm":1},"delta":0.00001,"expectedUnits":100,"format":"lethe-dp-plan-v1",' +
  '"mechanism":"dp-sgd","noise":{"generator":"aes-256-ctr/grid-ziggurat/1","mode":"production","multiplier":3},"relation":"add-or-remove-one",' +
  '"sampling":{"kind":"poisson","probability":0.25},"steps":60,"unit":"subject"}';
const PLAN_HASH = 'ebdd0367d12bebc090c1a082f86d7de41ec0bce522f9f0d198770df91cf62582';
const OWNER = 'tenants/acme/trainingRuns/r';
const HEAD = '56d3ab5f02c89d5627c578ae0567edd1e940eca4c52ca7a41f8a26acf1a5d751';

interface Charge {
  block: number;
  digest: string;
  firstStep: number;
  planHash: string;
  previous: string;
  steps: number;
}

const digestOf = (tag: string, value: unknown): string => hex(sha256(`${tag}\0`, canonicalJson(value)));
const sealed = (charge: Omit<Charge, 'digest'>): Charge => ({
  ...charge,
  digest: digestOf('lethe/privacy/charge/v1', charge),
});

function chain(planHash = PLAN_HASH, owner = OWNER, blocks = 4): Charge[] {
  const out: Charge[] = [];
  let previous = digestOf('lethe/privacy/ledger/v1', { owner, planHash });
  for (let block = 0; block < blocks; block++) {
    const { digest, ...charge } = sealed({ block, firstStep: 15 * block, planHash, previous, steps: 15 });
    out.push({ ...charge, digest });
    previous = digest;
  }
  return out;
}

const good: Claim = {
  artefact: 'tenants/acme/models/r',
  kind: 'MODEL_DP',
  owner: 'learning',
  claim: 'ERASED_CERTIFIED',
  guarantee: { epsilon: 2.9, delta: 1e-5, unit: 'SUBJECT', neighboringRelation: 'add-or-remove-one' },
  digestBefore: '0'.repeat(64),
  digestAfter: '0'.repeat(64),
  method: 'dp-sgd',
  details: {
    steps: '60',
    neighboringRelation: 'add-or-remove-one',
    noiseMultiplier: '3',
    samplingProbability: '0.25',
    l2ClipNorm: '1',
    accountant: 'rdp+pld+contour/2',
    randomSource: 'secure',
    plan: PLAN,
    planHash: PLAN_HASH,
    ledger: canonicalJson(chain()),
    ledgerHead: chain().at(-1)!.digest,
    ledgerOwner: OWNER,
    secondOpinion: 'agreed',
    epsilonIndependent: '2.8999',
    epsilonRdp: '3.2',
  },
};
const withDetails = (details: Claim['details']): Claim => ({
  ...good,
  details: { ...good.details, ...details },
});
const withLedger = (charges: readonly Charge[], head = charges.at(-1)?.digest ?? ''): Claim =>
  withDetails({ ledger: canonicalJson(charges), ledgerHead: head });

test('a plan, its ledger and its guarantee that belong together pass, and a claim without a plan as well', () => {
  assert.equal(refusePlan(good), undefined);
  assert.equal(chain().at(-1)?.digest, HEAD);
  assert.equal(refusePlan({ ...good, details: { steps: '60' } }), undefined);
  const guarantee = { ...good.guarantee!, epsilon: 3.2 };
  const single = { ...withDetails({ secondOpinion: 'not-possible', epsilonIndependent: 'none' }), guarantee };
  assert.equal(refusePlan(single), undefined);
});

test('a ledger from which a charge was taken, or in which one was repeated, altered, exchanged or brought in, is refused', () => {
  const charges = chain();
  const head = charges.at(-1)!.digest;
  for (const [i, charge] of charges.entries()) {
    assert.ok(refusePlan(withLedger(charges.toSpliced(i, 1), head)), `${i} dropped`);
    assert.ok(refusePlan(withLedger(charges.toSpliced(i, 0, charge), head)), `${i} repeated`);
    assert.ok(
      refusePlan(withLedger(charges.with(i, sealed({ ...without(charge), steps: 1 })), head)),
      `${i} altered`,
    );
    assert.ok(refusePlan(withLedger(charges.with(i, charges[(i + 1) % 4]!), head)), `${i} exchanged`);
  }
  assert.match(refusePlan(withLedger(charges.slice(0, 3)))!, /another number of steps/u);
  assert.match(refusePlan(withLedger(charges.slice(0, 3), head))!, /does not end at its head/u);
  assert.match(refusePlan(withLedger(chain(PLAN_HASH, 'tenants/acme/trainingRuns/x')))!, /charge 0/u);
  assert.match(refusePlan(withLedger(chain('ab'.repeat(32))))!, /charge 0/u);
  assert.match(refusePlan(withLedger(chain(PLAN_HASH, OWNER, 5)))!, /more steps than the plan/u);
  const long = sealed({ ...without(charges[3]!), steps: 0 });
  assert.match(refusePlan(withLedger(charges.with(3, long)))!, /charge 3/u);
});

function without({ digest: _, ...charge }: Charge): Omit<Charge, 'digest'> {
  return charge;
}

test('a plan that is another one, or a guarantee that is not its own, is refused in words', () => {
  const cases: readonly (readonly [RegExp, Claim])[] = [
    [/plan hash/u, withDetails({ plan: PLAN.replace('"multiplier":3', '"multiplier":30') })],
    [/plan hash/u, withDetails({ planHash: 'ab'.repeat(32) })],
    [/no canonical JSON/u, withDetails({ plan: ` ${PLAN}` })],
    [/no canonical JSON/u, withDetails({ plan: 'nonsense' })],
    [/another training run/u, { ...good, artefact: 'tenants/acme/models/other' }],
    [/not those of the plan/u, { ...good, guarantee: { ...good.guarantee!, delta: 1e-6 } }],
    [/not those of the plan/u, { ...good, guarantee: { ...good.guarantee!, unit: 'RECORD' } }],
    [
      /not those of the plan/u,
      { ...good, guarantee: { ...good.guarantee!, neighboringRelation: 'replace-one' } },
    ],
    [/not those of the plan/u, { ...good, guarantee: null }],
    [/no canonical list/u, withDetails({ ledger: '{}' })],
    [/is none/u, withDetails({ ledger: '[1]' })],
    [/some are missing/u, { ...good, details: { plan: PLAN } }],
    [/some are missing/u, withDetails({ ledgerHead: 7 })],
    [/do not agree/u, withDetails({ epsilonIndependent: '2.5' })],
    [/do not agree/u, withDetails({ epsilonIndependent: '2.95' })],
  ];
  for (const [message, claim] of cases) assert.match(refusePlan(claim) ?? 'passed', message);
});

const leavingOut = (name: string): Claim => {
  const { [name]: _, ...details } = good.details;
  return { ...good, details };
};
const withEpsilon = (epsilon: number, claim: Claim): Claim => ({
  ...claim,
  guarantee: { ...good.guarantee!, epsilon },
});

test('figures that are left out, spelled otherwise or made up are refused in words', () => {
  const notPossible = (epsilonRdp: string | boolean): Claim =>
    withEpsilon(0.01, withDetails({ secondOpinion: 'not-possible', epsilonIndependent: 'none', epsilonRdp }));
  const head = digestOf('lethe/privacy/ledger/v1', { owner: OWNER, planHash: PLAN_HASH });
  const cases: readonly (readonly [string, RegExp, Claim])[] = [
    [
      'opinion deleted, epsilon 0.01',
      /second opinion is missing/u,
      withEpsilon(0.01, leavingOut('secondOpinion')),
    ],
    ['another opinion', /neither agreed/u, withDetails({ secondOpinion: 'skipped' })],
    ['RDP empty', /epsilonRdp is missing or no decimal/u, notPossible('')],
    ['RDP negative', /epsilonRdp is missing or no decimal/u, notPossible('-1')],
    ['RDP minus zero', /epsilonRdp is missing or no decimal/u, notPossible('-0')],
    ['RDP of another type', /epsilonRdp is missing or no decimal/u, notPossible(true)],
    ['RDP infinite', /epsilonRdp is missing or no decimal/u, notPossible('Infinity')],
    ['RDP deleted', /epsilonRdp is missing or no decimal/u, leavingOut('epsilonRdp')],
    ['epsilon below RDP', /larger of both/u, notPossible('3.2')],
    [
      'an independent figure without an opinion',
      /must be none/u,
      withEpsilon(3.2, withDetails({ secondOpinion: 'not-possible' })),
    ],
    ['hexadecimal', /no decimal/u, withEpsilon(2, withDetails({ epsilonIndependent: '0x2' }))],
    ['another spelling', /no decimal/u, withDetails({ epsilonIndependent: '2.8999000' })],
    ['agreed with none', /no decimal/u, withDetails({ epsilonIndependent: 'none' })],
    ['agreed above the bound of RDP', /above the bound/u, withDetails({ epsilonRdp: '2.5' })],
    ['epsilon 0', /not positive/u, withEpsilon(0, withDetails({ epsilonIndependent: '0' }))],
    [
      'nothing charged',
      /ledger is empty/u,
      withDetails({ ledger: '[]', ledgerHead: head, steps: '0', epsilonIndependent: '3' }),
    ],
    ...['noiseMultiplier', 'samplingProbability', 'l2ClipNorm', 'neighboringRelation'].flatMap(
      (name): [string, RegExp, Claim][] => {
        const message = new RegExp(`detail ${name} is missing or not the plan's`, 'u');
        return [
          [`another ${name}`, message, withDetails({ [name]: '999' })],
          [`no ${name}`, message, leavingOut(name)],
        ];
      },
    ),
    ['another accountant', /detail accountant must name/u, withDetails({ accountant: 'none' })],
    ['seeded noise', /secure random source/u, withDetails({ randomSource: 'seeded' })],
    ['another method', /plan's mechanism/u, { ...good, method: 'sisa-resume' }],
  ];
  for (const [edit, message, claim] of cases) assert.match(refusePlan(claim) ?? 'passed', message, edit);
});

/** The claim on another plan, with the hash and the ledger that belong to it. */
function planned(members: object, leftOut: readonly string[] = []): Claim {
  const plan = Object.fromEntries(
    Object.entries({ ...(JSON.parse(PLAN) as object), ...members }).filter(
      ([name]) => !leftOut.includes(name),
    ),
  );
  const planHash = digestOf('lethe/privacy/plan/v1', plan);
  const charges = chain(planHash);
  const ledger = { ledger: canonicalJson(charges), ledgerHead: charges.at(-1)!.digest };
  return withDetails({ plan: canonicalJson(plan), planHash, ...ledger });
}

test('a plan with a field that cannot be certified on is refused by the name of the field, though hash and ledger are its own', () => {
  const noise = { generator: 'aes-256-ctr/grid-ziggurat/1', mode: 'production', multiplier: 3 };
  const truncated = { kind: 'truncated-poisson', probability: 0.25, cap: 150, population: 400 };
  const layers = { kind: 'per-layer', l2ClipNorm: 1, layerL2ClipNorms: [0.6, 0.8] };
  const features = { name: 'hog', digest: 'ab'.repeat(32) };
  for (const fine of [{}, { sampling: truncated }, { clipping: layers }, { features }]) {
    assert.equal(refusePlan(planned(fine)), undefined);
  }
  const cases: readonly (readonly [string, object])[] = [
    ['format', { format: 'lethe-dp-plan-v9' }],
    ['noise.mode', { noise: { ...noise, mode: 'research' } }],
    ['noise.multiplier', { noise: { ...noise, multiplier: 0 } }],
    ['noise.multiplier', { noise: { ...noise, multiplier: '3' } }],
    ['noise.generator', { noise: { ...noise, generator: 'mt19937' } }],
    ['noise.mode', { noise: { multiplier: 3, generator: noise.generator } }],
    ['accountant', { accountant: 'none' }],
    ['mechanism', { mechanism: 'sgd' }],
    ['relation', { relation: 'none' }],
    ['unit', { unit: 'batch' }],
    ['delta', { delta: 1 }],
    ['steps', { steps: 60.5 }],
    ['expectedUnits', { expectedUnits: 0 }],
    ['sampling.kind', { sampling: { kind: 'shuffle', probability: 0.25 } }],
    ['sampling.probability', { sampling: { kind: 'poisson', probability: 0 } }],
    ['sampling.cap', { sampling: { ...truncated, cap: 100 } }],
    ['clipping.kind', { clipping: { kind: '__proto__', l2ClipNorm: 1 } }],
    ['clipping.l2ClipNorm', { clipping: { kind: 'flat', l2ClipNorm: -1 } }],
    ['clipping.layerL2ClipNorms', { clipping: { ...layers, layerL2ClipNorms: [1, 1] } }],
    ['features.digest', { features: { ...features, digest: 'ab' } }],
  ];
  for (const [field, members] of cases) {
    assert.match(refusePlan(planned(members)) ?? 'passed', new RegExp(`plan\\.${field} `, 'u'));
  }
  assert.match(refusePlan(planned({ note: 'x' })) ?? 'passed', /member "note" that no plan has/u);
  for (const name of Object.keys(JSON.parse(PLAN) as object)) {
    const told = refusePlan(planned({}, [name])) ?? 'passed';
    assert.ok(told.includes(`plan.${name} is missing`), `${name}: ${told}`);
  }
});
