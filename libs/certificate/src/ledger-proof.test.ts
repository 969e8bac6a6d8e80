import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { MerkleLog } from '@lethe/merkle';
import { canonicalJson, hex, sha256, utf8 } from '@lethe/std';
import type { Claim } from './body.ts';
import { issueFixture, makeWorld, placeInLog } from './fixture.ts';
import {
  issueCertificate,
  prepareCertificate,
  refuseInclusion,
  refuseLedgerProof,
  verifyCertificate,
} from './index.ts';
import { ledgerEvidence, type Policy } from './ledger.fixture.ts';

const POLICIES: readonly Policy[] = ['KEEP', 'REENCODE_CHANGED', 'RETIRE'];

const claimOf = (policy: Policy): Claim => ({
  artefact: 'index',
  kind: 'HASH_INDEX',
  owner: 'hashing',
  claim: 'ERASED_EXACT',
  guarantee: null,
  method: 'lane-erasure',
  ...ledgerEvidence(policy),
});
const told = (claim: Claim): string => refuseLedgerProof(claim) ?? 'passed';

type Details = Record<string, string | number | boolean | undefined>;
function withDetails(claim: Claim, changes: Details): Claim {
  const details = Object.fromEntries(
    Object.entries({ ...claim.details, ...changes }).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value] as const],
    ),
  );
  return { ...claim, details };
}

/** Another document under its own digest: what an issuer can write. */
const withDocument = (claim: Claim, name: string, document: string): Claim =>
  withDetails(claim, { [name]: document, [`${name}Digest`]: hex(sha256(document)) });

type Json = Record<string, unknown>;
function edited(claim: Claim, name: string, edit: (proof: Json) => void): Claim {
  const proof = JSON.parse(String(claim.details[name])) as Json;
  edit(proof);
  return withDocument(claim, name, canonicalJson(proof));
}

const DOCUMENTS: readonly (readonly [Policy, string])[] = [
  ['KEEP', 'erasureProof'],
  ['REENCODE_CHANGED', 'erasureProof'],
  ['REENCODE_CHANGED', 'reencodeProof'],
  ['RETIRE', 'reencodeProof'],
];

test('sound proofs pass under each policy, and claims without any', () => {
  for (const policy of POLICIES) assert.equal(told(claimOf(policy)), 'passed', policy);
  assert.equal(told({ ...claimOf('KEEP'), details: {} }), 'passed');
  const noCodes = withDetails(claimOf('REENCODE_CHANGED'), {
    reencodeProof: undefined,
    reencodeProofDigest: undefined,
    reencodedCodes: '0',
    ledgerRootAfter: ledgerEvidence('KEEP').digestAfter!,
  });
  assert.equal(told({ ...noCodes, digestAfter: ledgerEvidence('KEEP').digestAfter }), 'passed');
});

/** Every leaf of a JSON value, altered alone, and every entry of a list dropped or doubled. */
function* mutations(root: Json, path: readonly string[] = []): Generator<{ where: string; proof: Json }> {
  const at = (value: unknown, keys: readonly string[]): unknown =>
    keys.reduce<unknown>((node, key) => (node as Json)[key], value);
  const altered = (change: (parent: Json, key: string) => void) => {
    const proof = structuredClone(root);
    change(at(proof, path.slice(0, -1)) as Json, path.at(-1)!);
    return { where: path.join('.'), proof };
  };
  const node = at(root, path);
  if (Array.isArray(node)) {
    for (const [i, entry] of node.entries()) {
      yield altered((parent, key) => {
        (parent[key] as unknown[]).splice(i, 1);
      });
      yield altered((parent, key) => {
        (parent[key] as unknown[]).splice(i, 0, structuredClone(entry));
      });
    }
  }
  if (typeof node === 'object' && node !== null) {
    for (const key of Object.keys(node)) yield* mutations(root, [...path, key]);
  } else if (typeof node === 'string') {
    for (let i = 0; i < node.length; i += Math.max(1, node.length >> 3)) {
      yield altered((parent, key) => {
        parent[key] = `${node.slice(0, i)}${node[i] === '0' ? '1' : '0'}${node.slice(i + 1)}`;
      });
    }
  } else {
    for (const step of [-1, 1, 2 ** 32]) {
      yield altered((parent, key) => {
        parent[key] = (node as number) + step;
      });
    }
  }
}

test('independently of this library: both roots of an erasure with node:crypto, from the words of FORMAT.md alone', () => {
  const { digestBefore, digestAfter, details } = ledgerEvidence('KEEP');
  const { size, seq, erased, untouched } = JSON.parse(String(details.erasureProof)) as {
    size: number;
    seq: string;
    erased: { index: number; itemId: string; leafBefore: string }[];
    untouched: string[];
  };
  const h = (...parts: readonly (Buffer | number[])[]): Buffer =>
    createHash('sha256')
      .update(Buffer.concat(parts.map((part) => Buffer.from(part))))
      .digest();
  const rootOf = (leafOf: (entry: (typeof erased)[number]) => Buffer): string => {
    const rest = untouched.map((root) => Buffer.from(root, 'hex'));
    const walk = (start: number, n: number): Buffer => {
      const named = erased.filter(({ index }) => index >= start && index < start + n);
      if (named.length === 0) return rest.shift()!;
      if (n === 1) return leafOf(named[0]!);
      let cut = 1;
      while (2 * cut < n) cut *= 2;
      const left = walk(start, cut);
      return h([1], left, walk(start + cut, n - cut));
    };
    const root = walk(0, size);
    assert.equal(rest.length, 0);
    return root.toString('hex');
  };
  const number = Buffer.alloc(8);
  number.writeBigUInt64LE(BigInt(seq));
  assert.equal(
    rootOf(({ leafBefore }) => Buffer.from(leafBefore, 'hex')),
    digestBefore,
  );
  assert.equal(
    rootOf(({ itemId }) => h([0, 1], Buffer.from(itemId, 'hex'), number)),
    digestAfter,
  );
});

test('every field of a proof, altered alone or dropped or doubled, is refused, though the digest is its own', () => {
  let count = 0;
  for (const [policy, name] of DOCUMENTS) {
    const claim = claimOf(policy);
    const sound = JSON.parse(String(claim.details[name])) as Json;
    for (const { where, proof } of mutations(sound)) {
      assert.notEqual(
        told(withDocument(claim, name, canonicalJson(proof))),
        'passed',
        `${policy} ${name}.${where}`,
      );
      count++;
    }
  }
  assert.ok(count > 300, `${count}`);
});

test('every detail that a proof is held against, altered or left out, is refused', () => {
  const held = [
    'erasedItems',
    'erasedLeaves',
    'ledgerSize',
    'survivorCodes',
    'versionBefore',
    'erasureProofDigest',
  ];
  const reencoding = [
    'reencodedCodes',
    'ledgerVersion',
    'ledgerRootErased',
    'ledgerRootAfter',
    'reencodeProofDigest',
  ];
  for (const policy of POLICIES) {
    const claim = claimOf(policy);
    for (const name of policy === 'KEEP' ? held : [...held, ...reencoding]) {
      assert.notEqual(told(withDetails(claim, { [name]: undefined })), 'passed', `${policy} without ${name}`);
      for (const other of ['4711', 'KEPT', `${claim.details[name]}0`]) {
        assert.notEqual(told(withDetails(claim, { [name]: other })), 'passed', `${policy} ${name} ${other}`);
      }
    }
    for (const digest of ['digestBefore', 'digestAfter'] as const) {
      assert.notEqual(told({ ...claim, [digest]: 'ab'.repeat(32) }), 'passed', digest);
    }
  }
  const counts: readonly (readonly [Policy, string])[] = [
    ['KEEP', 'survivors'],
    ['RETIRE', 'survivors'],
    ['REENCODE_CHANGED', 'storedCodesThatDiffer'],
  ];
  for (const [policy, name] of counts) {
    assert.notEqual(told(withDetails(claimOf(policy), { [name]: '9' })), 'passed', `${policy} ${name}`);
  }
});

test('a refusal names what broke', () => {
  const [keep, changed] = [claimOf('KEEP'), claimOf('REENCODE_CHANGED')];
  const list = (proof: Json, name: string) => proof[name] as Json[];
  const cases: readonly (readonly [RegExp, Claim])[] = [
    [
      /another digest than erasureProofDigest/u,
      withDetails(keep, { erasureProof: ` ${keep.details.erasureProof}` }),
    ],
    [/no canonical JSON/u, withDocument(keep, 'erasureProof', ` ${keep.details.erasureProof}`)],
    [/no canonical JSON/u, withDocument(keep, 'erasureProof', 'nonsense')],
    [/is no text/u, withDetails(keep, { erasureProof: 7 })],
    [/erasureProof\.format/u, edited(keep, 'erasureProof', (p) => Object.assign(p, { format: 'x' }))],
    [/member "note"/u, edited(keep, 'erasureProof', (p) => Object.assign(p, { note: 'x' }))],
    [/starts from another root/u, { ...keep, digestBefore: 'ab'.repeat(32) }],
    [/ends at another root/u, { ...keep, digestAfter: 'ab'.repeat(32) }],
    [
      /does not give the root before/u,
      edited(keep, 'erasureProof', (p) => {
        list(p, 'erased')[0]!.leafBefore = 'ab'.repeat(32);
      }),
    ],
    [
      /does not give the root after/u,
      edited(keep, 'erasureProof', (p) => {
        list(p, 'erased')[0]!.itemId = 'ab'.repeat(16);
      }),
    ],
    [
      /more than 64 bits/u,
      edited(keep, 'erasureProof', (p) => Object.assign(p, { seq: '18446744073709551616' })),
    ],
    [
      /not name its leaves in order/u,
      edited(keep, 'erasureProof', (p) => {
        list(p, 'erased').reverse();
      }),
    ],
    [/erasedItems says 4, the ledger proof 3/u, withDetails(keep, { erasedItems: '4' })],
    [/codes of survivors were kept/u, withDetails(keep, { reencodedCodes: '0' })],
    [/another number than the version after/u, withDetails(keep, { versionBefore: '6' })],
    [
      /starts from another root than ledgerRootErased/u,
      edited(changed, 'reencodeProof', (p) => Object.assign(p, { rootBefore: 'ab'.repeat(32) })),
    ],
    [/none of KEEP/u, withDetails(changed, { survivorCodes: 'FORGET' })],
    [/not every survivor/u, withDetails(changed, { survivorCodes: 'RETIRE' })],
  ];
  for (const [message, claim] of cases) assert.match(told(claim), message);
});

test('a live leaf in the place of an erased one, or an erased leaf that gets a code again, is refused', () => {
  const claim = claimOf('RETIRE');
  // Indices of erased leaves among those stored anew: the trees are sound, what happened is not an erasure.
  const proof = JSON.parse(String(claim.details.erasureProof)) as {
    erased: { index: number; leafBefore: string }[];
    rootBefore: string;
    rootAfter: string;
  };
  const reencoding = {
    ...JSON.parse(String(claim.details.erasureProof)),
    format: 'lethe-reencode-proof-v1',
    ledgerVersion: 4,
    rootBefore: proof.rootAfter,
    rootAfter: proof.rootBefore,
  } as Json;
  const marks = (
    JSON.parse(String(claim.details.erasureProof)) as { erased: { itemId: string }[] }
  ).erased.map(({ itemId }) =>
    hex(sha256(Uint8Array.of(0, 1), Buffer.from(itemId, 'hex'), Uint8Array.of(8, 0, 0, 0, 0, 0, 0, 0))),
  );
  reencoding.changed = proof.erased.map(({ index, leafBefore }, i) => ({
    index,
    leafBefore: marks[i],
    leafAfter: leafBefore,
  }));
  delete reencoding.erased;
  delete reencoding.seq;
  const undone = withDetails(withDocument(claim, 'reencodeProof', canonicalJson(reencoding)), {
    ledgerRootAfter: proof.rootBefore,
    reencodedCodes: '3',
    survivorCodes: 'REENCODE_CHANGED',
    storedCodesThatDiffer: '3',
  });
  assert.match(told({ ...undone, digestAfter: proof.rootBefore }), /gives the erased leaf 2 a code again/u);
});

test('a leaf that was an erased one before is not among those that an erasure may name', () => {
  const claim = claimOf('KEEP');
  const undone = edited(claim, 'erasureProof', (proof) => {
    proof.rootBefore = proof.rootAfter;
    for (const entry of proof.erased as { itemId: string; leafBefore: string }[]) {
      const number = Uint8Array.of(8, 0, 0, 0, 0, 0, 0, 0);
      entry.leafBefore = hex(sha256(Uint8Array.of(0, 1), Buffer.from(entry.itemId, 'hex'), number));
    }
  });
  assert.match(told({ ...undone, digestBefore: claim.digestAfter! }), /names leaf 2, which did not change/u);
});

test('what the certificate does not carry is said, and checked when it is given apart', () => {
  const world = makeWorld();
  const issue = (changes: Details, policy: Policy = 'KEEP') => {
    const claims = world.body.claims.map((claim) =>
      claim.kind === 'HASH_INDEX' ? withDetails({ ...claim, ...ledgerEvidence(policy) }, changes) : claim,
    );
    const prepared = prepareCertificate({ ...world.body, claims }, world.issuer);
    const { log, keyFile } = placeInLog(world, prepared);
    return { bytes: issueCertificate(prepared, log, keyFile), keyFile };
  };
  const verdict = (issued: ReturnType<typeof issue>, given: readonly string[] = []) => {
    const result = verifyCertificate(
      issued.bytes,
      issued.keyFile,
      given.map((document) => utf8(document)),
    );
    return result.ok ? result.notChecked : [result.failedCheck];
  };
  assert.deepEqual(verdict(issue({})), []);
  const none = issue({ erasureProof: undefined, erasureProofDigest: undefined });
  assert.deepEqual(verdict(none), ['index: ledger proof: not carried.']);
  const apart = issue({ erasureProof: undefined, reencodeProof: undefined }, 'RETIRE');
  const said = verdict(apart);
  assert.equal(said.length, 2);
  for (const line of said) assert.match(line, /^index: ledger proof.*: NOT CHECKED/u);
  const { erasureProof, reencodeProof } = ledgerEvidence('RETIRE').details;
  const both = `${erasureProof}\n${reencodeProof}`;
  assert.deepEqual(verdict(apart, [both]), []);
  assert.equal(verdict(apart, [String(reencodeProof)]).length, 1);
  assert.deepEqual(verdict(apart, [`${both}\n{}`]), ['ledger-proof']);
  assert.deepEqual(verdict(issueFixture(world), [both.replace('"size":11', '"size":12')]), ['ledger-proof']);
  // A document that the owner keeps under the digest it stated, and that does not hold.
  const wrong = String(erasureProof).replace('"size":11', '"size":12');
  const false_ = issue({ erasureProof: undefined, erasureProofDigest: hex(sha256(wrong)) });
  assert.deepEqual(verdict(false_, [wrong]), ['ledger-proof']);
});

test('a leaf stands in a ledger, by the answer of a service and a root that the reader has', () => {
  const log = new MerkleLog();
  for (let i = 0; i < 13; i++) log.append(utf8(`entry ${i}`));
  const ledgerRoot = hex(log.root());
  const answer = {
    leafIndex: 5,
    leafHash: hex(sha256(Uint8Array.of(0), 'entry 5')),
    ledgerSize: 13,
    ledgerRoot,
    path: log.inclusionProof(5).map(hex),
  };
  assert.equal(refuseInclusion(answer, ledgerRoot), undefined);
  assert.match(refuseInclusion(answer, hex(log.root(12)))!, /another root/u);
  for (const { where, proof } of mutations(answer)) {
    // A root does not commit to the number of leaves: a size of the same path length passes.
    assert.ok(where === 'ledgerSize' || refuseInclusion(proof, ledgerRoot), where);
  }
  for (const value of [null, [], {}, { ...answer, more: 1 }]) {
    assert.match(refuseInclusion(value, ledgerRoot)!, /no proof of inclusion/u);
  }
});
