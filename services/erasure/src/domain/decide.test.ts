import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { events } from '@lethe/contracts';
import { type Deadlines, type Decision, decide, retrainingSeed } from './decide.ts';
import { erasureAggregate, type Fact, type Saga } from './erasure.ts';
import type { Facts } from './facts.ts';
import type { Situation } from './policies.ts';

const NAME = 'tenants/acme/erasureRequests/e1';
const DEADLINES: Deadlines = { containMs: 60_000, confirmMs: 60_000, eraseMs: 600_000, auditMs: 600_000 };
const AT = (nowMs: number) => ({ nowMs, sinceMs: 0 });

const fact = <Data>(timeMs: number, data: Data): Fact<Data> => ({ id: `f${timeMs}`, timeMs, data });
const contained = (owner: string, artefacts: string[] = []): Fact<events.OwnerContained> =>
  fact(1_000, { erasure: NAME, owner, artefacts, cohort: [], audit: '' });
const erased = (owner: string): Fact<events.OwnerErased> =>
  fact(2_000, { erasure: NAME, owner, claims: [], needles: undefined, attestations: [] });

const NOBODY: Facts = {
  vault: {},
  owners: { hash: {}, learning: {}, federation: {} },
  auditPart: {},
  audit: {},
};

const ALL_CONTAINED: Facts = {
  vault: { contained: contained('vault', ['d']) },
  owners: {
    hash: { contained: contained('hash', ['h']) },
    learning: { contained: contained('learning', ['m1', 'm2']) },
    federation: { contained: contained('federation') },
  },
  auditPart: {
    contained: fact(1_000, {
      ...contained('audit').data,
      cohort: ['c1', 'c2'],
      audit: 'tenants/acme/audits/a',
    }),
  },
  audit: {},
};

const OWNERS_ERASED: Facts = {
  ...ALL_CONTAINED,
  owners: {
    ...ALL_CONTAINED.owners,
    hash: { ...ALL_CONTAINED.owners.hash, erased: erased('hash') },
    learning: { ...ALL_CONTAINED.owners.learning, erased: erased('learning') },
    federation: { ...ALL_CONTAINED.owners.federation, erased: erased('federation') },
  },
};

const DESTROYED: Facts = {
  ...OWNERS_ERASED,
  vault: {
    ...OWNERS_ERASED.vault,
    destroyed: fact(3_000, { erasure: NAME, claims: [], evidence: undefined, residualBytes: 0n }),
  },
};

const requested: Saga = {
  phase: 'requested',
  requested: fact(0, {
    erasure: NAME,
    subjectAlias: 'alias',
    subjectCommitment: 'cc'.repeat(32),
    requestDigest: '',
    policy: 'gdpr-art-17',
    datasets: ['tenants/acme/datasets/d'],
    requestTime: new Date(0),
  }),
};

/** The saga after a decision, as every reader folds it. */
function after(saga: Saga, decision: Decision, timeMs: number): Saga {
  assert.equal(decision.kind, 'commit');
  if (decision.kind !== 'commit') return saga;
  const { event } = decision;
  const recorded = {
    id: event.id ?? '',
    type: event.definition.type,
    data: event.data,
    version: 1,
    sequence: 1,
    timeMs,
    source: 'erasure',
    aggregate: { tenant: 'acme', type: 'erasure', id: 'e1' },
  };
  return erasureAggregate.fold(saga, recorded as Parameters<typeof erasureAggregate.fold>[1]);
}

const situation = (saga: Saga, facts: Facts, more: Partial<Situation> = {}): Situation => ({
  saga,
  facts,
  requestRoot: 'ab'.repeat(32),
  unlogged: [],
  unreadable: [],
  ...more,
});

const startedSaga = (): Saga => {
  const first = after(requested, decide(situation(requested, ALL_CONTAINED), DEADLINES, AT(1_000)), 1_000);
  return after(first, decide(situation(first, ALL_CONTAINED), DEADLINES, AT(1_100)), 1_100);
};

const typeOf = (decision: Decision): string =>
  decision.kind === 'commit' ? decision.event.definition.type : decision.kind;

test('nothing starts before all five have contained, and the missing ones are named', () => {
  for (const leftOut of ['vault', 'hash', 'learning', 'federation', 'audit']) {
    const facts: Facts = {
      ...ALL_CONTAINED,
      vault: leftOut === 'vault' ? {} : ALL_CONTAINED.vault,
      auditPart: leftOut === 'audit' ? {} : ALL_CONTAINED.auditPart,
      owners: { ...ALL_CONTAINED.owners, ...(leftOut in NOBODY.owners ? { [leftOut]: {} } : {}) },
    };
    const decision = decide(situation(requested, facts), DEADLINES, AT(59_999));
    assert.ok(decision.kind === 'wait');
    assert.deepEqual(decision.obstacle, { reason: 'OwnersNotContained', missing: [leftOut] });
    assert.equal(decision.untilMs, 60_000);
    const late = decide(situation(requested, facts), DEADLINES, AT(60_000));
    assert.equal(typeOf(late), 'erasure.failed');
    assert.match(JSON.stringify(late), new RegExp(`LETHE-4508.*${leftOut}`));
  }
  assert.equal(
    typeOf(decide(situation(requested, ALL_CONTAINED), DEADLINES, AT(1_000))),
    'erasure.contained',
  );
});

test('the batch names subject, cohort, every owner, every dataset and a seed that follows from the log', () => {
  const { started } = startedSaga();
  assert.deepEqual(started?.data.subjects, ['alias']);
  assert.deepEqual(started?.data.cohort, ['c1', 'c2']);
  assert.deepEqual(
    started?.data.owners,
    ['hash', 'learning', 'federation'],
    'also one that had nothing when it contained: it may have been learning then',
  );
  assert.deepEqual(
    started?.data.datasets,
    ['d', 'tenants/acme/datasets/d'],
    'those of the request and those that the vault found when it contained',
  );
  assert.equal(started?.data.seed, retrainingSeed('ab'.repeat(32), 'e1'));
  assert.notEqual(started?.data.seed, retrainingSeed('ac'.repeat(32), 'e1'));
  assert.equal(started?.data.deadline?.getTime(), 61_100);
});

test('no seed before the request is in the log', () => {
  const first = after(requested, decide(situation(requested, ALL_CONTAINED), DEADLINES, AT(1_000)), 1_000);
  const decision = decide(situation(first, ALL_CONTAINED, { requestRoot: undefined }), DEADLINES, AT(9e9));
  assert.ok(decision.kind === 'wait');
  assert.equal(decision.obstacle.reason, 'RequestNotLogged');
});

test('an owner that is missing at the deadline is named, and is awaited before erasure.erased', () => {
  const saga = startedSaga();
  const late: Facts = {
    ...DESTROYED,
    owners: { ...DESTROYED.owners, learning: ALL_CONTAINED.owners.learning },
  };
  assert.equal(decide(situation(saga, late), DEADLINES, AT(61_099)).kind, 'wait');
  const decision = decide(situation(saga, late), DEADLINES, AT(61_100));
  assert.equal(typeOf(decision), 'erasure.owners.confirmed');
  const confirmed = after(saga, decision, 61_100);
  assert.deepEqual(confirmed.confirmed?.data.missingOwners, ['learning']);
  const waiting = decide(situation(confirmed, late), DEADLINES, AT(61_200));
  assert.ok(waiting.kind === 'wait');
  assert.deepEqual(waiting.obstacle.missing, ['learning']);
  assert.equal(typeOf(decide(situation(confirmed, DESTROYED), DEADLINES, AT(70_000))), 'erasure.erased');
  const given = decide(situation(confirmed, late), DEADLINES, AT(601_100));
  assert.equal(typeOf(given), 'erasure.partial');
  assert.match(
    JSON.stringify(given, (_, v) => (typeof v === 'bigint' ? 0 : v)),
    /"missing":\["learning"\]/,
  );
});

test('a deadline does not run out while the platform is down', () => {
  const saga = startedSaga();
  const restarted = { nowMs: 1_000_000, sinceMs: 999_000 };
  const decision = decide(situation(saga, ALL_CONTAINED), DEADLINES, restarted);
  assert.ok(decision.kind === 'wait');
  assert.equal(decision.untilMs, 1_059_000);
});

test('erased needs the keys; certified needs the audit, or its deadline, and a log that holds the evidence', () => {
  let saga = startedSaga();
  saga = after(saga, decide(situation(saga, OWNERS_ERASED), DEADLINES, AT(2_100)), 2_100);
  const waiting = decide(situation(saga, OWNERS_ERASED), DEADLINES, AT(2_200));
  assert.ok(waiting.kind === 'wait');
  assert.equal(waiting.obstacle.reason, 'KeysNotDestroyed');
  saga = after(saga, decide(situation(saga, DESTROYED), DEADLINES, AT(3_100)), 3_100);
  assert.equal(saga.phase, 'erased');
  assert.equal(saga.erased?.data.audit, 'tenants/acme/audits/a');

  const unaudited = decide(situation(saga, DESTROYED), DEADLINES, AT(3_200));
  assert.ok(unaudited.kind === 'wait');
  assert.equal(unaudited.obstacle.reason, 'AuditNotCompleted');
  assert.deepEqual(decide(situation(saga, DESTROYED), DEADLINES, AT(603_100)), {
    kind: 'certify',
    missing: ['audit'],
  });

  const audited: Facts = {
    ...DESTROYED,
    audit: {
      completed: fact(4_000, {
        audit: 'tenants/acme/audits/a',
        erasure: NAME,
        verdict: 'PASS',
        report: undefined,
        canaryKeyDestroyed: false,
      }),
    },
  };
  assert.deepEqual(decide(situation(saga, audited), DEADLINES, AT(4_100)), { kind: 'certify', missing: [] });
  const unlogged = decide(situation(saga, audited, { unlogged: ['root 2'] }), DEADLINES, AT(4_100));
  assert.ok(unlogged.kind === 'wait');
  assert.deepEqual(unlogged.obstacle, { reason: 'EvidenceNotLogged', missing: ['root 2'] });
  const unreadable = decide(situation(saga, audited, { unreadable: ['evidence'] }), DEADLINES, AT(4_100));
  assert.equal(typeOf(unreadable), 'erasure.partial');
});

test('every decision is a function of the facts: the same twice, with the same event id', () => {
  const saga = startedSaga();
  for (const facts of [NOBODY, ALL_CONTAINED, OWNERS_ERASED, DESTROYED]) {
    assert.deepEqual(
      decide(situation(saga, facts), DEADLINES, AT(5_000)),
      decide(situation(saga, facts), DEADLINES, AT(5_000)),
    );
  }
  const decision = decide(situation(saga, OWNERS_ERASED), DEADLINES, AT(5_000));
  assert.ok(decision.kind === 'commit');
  assert.equal(decision.event.id, 'f0:erasure.owners.confirmed');
});

test('an erasure that has ended stays ended', () => {
  const ended: Saga = { ...startedSaga(), phase: 'ended' };
  assert.deepEqual(decide(situation(ended, DESTROYED), DEADLINES, AT(9e9)), { kind: 'nothing' });
});
