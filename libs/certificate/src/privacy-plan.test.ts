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
    [/no canonical plan/u, withDetails({ plan: ` ${PLAN}` })],
    [/no canonical plan/u, withDetails({ plan: PLAN.replace('plan-v1', 'plan-v9') })],
    [/no canonical plan/u, withDetails({ plan: 'nonsense' })],
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
    [/do not agree/u, withDetails({ epsilonIndependent: 'none' })],
    [/larger of both/u, withDetails({ secondOpinion: 'not-possible' })],
    [/neither agreed/u, withDetails({ secondOpinion: 'skipped' })],
  ];
  for (const [message, claim] of cases) assert.match(refusePlan(claim) ?? 'passed', message);
});
