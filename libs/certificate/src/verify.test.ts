import assert from 'node:assert/strict';
import { createHash, createPublicKey, verify as cryptoVerify } from 'node:crypto';
import { test } from 'node:test';
import { ruleDigest, THREE_ARM_RULE } from '@lethe/statistics';
import {
  base64,
  canonicalDigest,
  canonicalJson,
  fromBase64,
  hex,
  isError,
  seededRandom,
  sha256,
  utf8,
} from '@lethe/std';
import type { CertificateBody, CertificateFile } from './body.ts';
import { issueFixture, makeWorld, placeInLog } from './fixture.ts';
import {
  CERTIFICATE,
  certificateMessage,
  checkBody,
  issueCertificate,
  type PreparedCertificate,
  parseKeyFile,
  prepareCertificate,
  type Signer,
  signCheckpoint,
  signPartyAttestation,
  verifyCertificate,
} from './index.ts';

const world = makeWorld();
const issued = issueFixture(world);
const file = JSON.parse(Buffer.from(issued.bytes).toString()) as CertificateFile;

/** A deep copy that a test may write to. */
type Writable<T> = T extends object ? { -readonly [K in keyof T]: Writable<T[K]> } : T;
const copy = <T>(value: T): Writable<T> => structuredClone(value) as Writable<T>;

const refusal = (bytes: Uint8Array, keyFile: unknown = issued.keyFile): string => {
  const result = verifyCertificate(bytes, keyFile);
  return result.ok ? 'VERIFIED' : result.failedCheck;
};
const bytesOf = (value: unknown): Uint8Array => utf8(canonicalJson(value));

/** Signs a body without asking whether it is sound: what a dishonest or broken issuer would do. */
function signAnyway(body: CertificateBody, signer: Signer = world.issuer): PreparedCertificate {
  return {
    body,
    signature: {
      keyDigest: hex(sha256(signer.publicKey)),
      value: base64(signer.sign(certificateMessage(body))),
    },
    statement: {
      type: 'certificate',
      version: 1,
      certificate: body.certificate,
      bodyDigest: canonicalDigest(body),
    },
  };
}

/** Altered, signed with the right key and put into the log anew: only the check of that field is left to refuse. */
function reissue(alter: (body: Writable<CertificateBody>) => void, order?: readonly number[]): string {
  const body = copy(world.body);
  alter(body);
  const prepared = signAnyway(body as CertificateBody);
  const { log, keyFile } = placeInLog(world, prepared, order);
  return refusal(bytesOf({ body: prepared.body, log, signature: prepared.signature }), keyFile);
}

test('the fixture verifies, and says what was checked', () => {
  const result = verifyCertificate(issued.bytes, issued.keyFile);
  assert.ok(result.ok);
  assert.deepEqual(result.notChecked, []);
  assert.equal(result.checks.length, 25);
  assert.equal(world.body.audit?.result.verdict, 'PASS');
});

test('independently of this library: signature, body digest, note and leaf with node:crypto alone', () => {
  const spki = (raw: Buffer) =>
    createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: raw.toString('base64url') }, format: 'jwk' });
  const text = Buffer.from(issued.bytes).toString();
  // The canonical body is a slice of the canonical file.
  const bodyText = text.slice('{"body":'.length, text.indexOf(',"log":{"certificate":'));
  const bodyDigest = createHash('sha256').update(bodyText).digest();
  const message = Buffer.concat([Buffer.from('lethe-certificate-v1\n'), bodyDigest]);
  const issuerKey = Buffer.from(issued.keyFile.issuerKeys[0]!, 'base64');
  assert.ok(cryptoVerify(null, message, spki(issuerKey), Buffer.from(file.signature.value, 'base64')));

  const [noteText, signatures] = file.log.checkpoint.split('\n\n') as [string, string];
  const [, name, encoded] = signatures.trimEnd().split(' ') as [string, string, string];
  const [keyName, keyHash, keyData] = issued.keyFile.logKeys[0]!.split('+') as [string, string, string];
  const rawKey = Buffer.from(issued.keyFile.logKeys[0]!.slice(keyName.length + keyHash.length + 2), 'base64');
  assert.equal(name, keyName);
  assert.ok(keyData.length > 0);
  assert.equal(rawKey[0], 1);
  const expectedHash = createHash('sha256').update(`${name}\n`).update(rawKey).digest().subarray(0, 4);
  assert.equal(expectedHash.toString('hex'), keyHash);
  const noteSignature = Buffer.from(encoded, 'base64');
  assert.deepEqual(noteSignature.subarray(0, 4), expectedHash);
  assert.ok(
    cryptoVerify(null, Buffer.from(`${noteText}\n`), spki(rawKey.subarray(1)), noteSignature.subarray(4)),
  );

  const leaf = `{"bodyDigest":"${bodyDigest.toString('hex')}","certificate":"${file.body.certificate}","type":"certificate","version":1}`;
  let node = createHash('sha256').update(Buffer.of(0)).update(leaf).digest();
  // Eight entries, the certificate is entry 6: bits 0, 1, 1 from the leaf upwards.
  assert.equal(file.log.certificate.index, 6);
  const siblings = file.log.certificate.inclusionProof.map((h) => Buffer.from(h, 'hex'));
  siblings.forEach((sibling, level) => {
    const pair = (6 >> level) & 1 ? [sibling, node] : [node, sibling];
    node = createHash('sha256').update(Buffer.of(1)).update(Buffer.concat(pair)).digest();
  });
  assert.equal(node.toString('base64'), noteText.split('\n')[2]);
});

test('each of 3,000 single-bit flips over the whole file is refused by a check that covers the place', () => {
  const text = Buffer.from(issued.bytes).toString('latin1');
  const logAt = text.indexOf(',"log":{"certificate":');
  const signatureAt = text.indexOf(',"signature":{"keyDigest"');
  const form = ['canonical-form', 'structure'];
  const logChecks = [...form, 'checkpoint', 'log-inclusion', 'log-consistency'];
  const random = seededRandom('bit flips');
  const bits = issued.bytes.length * 8;
  const seen = new Map<string, number>();
  const check = (bit: number): void => {
    const flipped = Uint8Array.from(issued.bytes);
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    const at = bit >> 3;
    const failed = refusal(flipped);
    const covers = at < logAt || at >= signatureAt ? [...form, 'signature'] : logChecks;
    assert.ok(covers.includes(failed), `bit ${bit} (byte ${at}): ${failed}`);
    seen.set(failed, (seen.get(failed) ?? 0) + 1);
  };
  // Evenly over the file with a random phase, then densely over the parts outside the signed body.
  for (let i = 0; i < 2000; i++) check(Math.floor(((i + random.uniform()) / 2000) * bits));
  for (let i = 0; i < 1000; i++) check(logAt * 8 + random.below(bits - logAt * 8));
  for (const name of [...logChecks, 'signature']) assert.ok(seen.has(name), `${name} never refused`);
});

test('every field of the file, altered alone, is refused by the check that covers it', () => {
  for (const { path, value } of alterations(file)) {
    const failed = refusal(bytesOf(value));
    const expected =
      path[0] === 'body' || path[0] === 'signature'
        ? ['structure', 'signature']
        : path[1] === 'checkpoint'
          ? ['structure', 'checkpoint']
          : path[1] === 'previous'
            ? ['structure', 'log-consistency']
            : ['structure', 'log-inclusion'];
    assert.ok(expected.includes(failed), `${path.join('.')}: ${failed}`);
  }
});

test('every field of the body, altered and signed with another key, is refused as that: another signature', () => {
  let count = 0;
  for (const { path, value } of alterations(file.body)) {
    const prepared = signAnyway(value as CertificateBody, world.stranger);
    const { log } = placeInLog(world, prepared);
    const failed = refusal(bytesOf({ body: prepared.body, log, signature: prepared.signature }));
    assert.ok(['structure', 'signature'].includes(failed), `${path.join('.')}: ${failed}`);
    // The same with the right key's digest pasted over the stranger's.
    const pasted = { ...prepared.signature, keyDigest: file.signature.keyDigest };
    assert.ok(['structure', 'signature'].includes(refusal(bytesOf({ body: value, log, signature: pasted }))));
    count++;
  }
  assert.ok(count > 200, `${count}`);
});

test('every field of the body, altered and signed and logged with the right keys, passes no check unseen that concerns it', () => {
  // What these fields say is the issuer's word, covered by its signature and nothing else.
  const wordOnly =
    /^(certificate|policy|subject|keyReceipt\.(keyIdDigest|method|settings)|scan\.needles\.\d+\.(kind|needles)|scan\.stores\.\d+\.store|claims\.\d+\.(kind|method|details|guarantee|owner|digestBefore|digestAfter)|times|statements\.\d+\.at|outOfScope|limits|audit\.unitsDigest|datasets\.0\.removed\.\d+\.(left|right)|keyReceipt\.destroyedAt)/u;
  for (const { path, value } of alterations(file.body)) {
    const name = path.join('.');
    const prepared = signAnyway(value as CertificateBody);
    const { log, keyFile } = placeInLog(world, prepared);
    const failed = refusal(bytesOf({ body: prepared.body, log, signature: prepared.signature }), keyFile);
    assert.ok(failed !== 'VERIFIED' || wordOnly.test(name), `${name} may be anything`);
    assert.ok(failed !== 'signature' && failed !== 'log-inclusion', `${name}: ${failed}`);
  }
});

/** One alteration per leaf of a value (long lists of numbers: the first three). */
function* alterations(
  root: unknown,
  path: readonly string[] = [],
): Generator<{ path: string[]; value: unknown }> {
  const replaced = (value: unknown): { path: string[]; value: unknown } => {
    const out = structuredClone(root) as Record<string, unknown>;
    let at: Record<string, unknown> = out;
    for (const key of path.slice(0, -1)) at = at[key] as Record<string, unknown>;
    at[path.at(-1)!] = value;
    return { path: [...path], value: out };
  };
  let node: unknown = root;
  for (const key of path) node = (node as Record<string, unknown>)[key];
  if (typeof node === 'object' && node !== null) {
    const entries = Object.keys(node);
    const isNumbers = Array.isArray(node) && node.length > 20;
    for (const key of isNumbers ? entries.slice(0, 3) : entries) yield* alterations(root, [...path, key]);
  } else if (typeof node === 'string') {
    const last = node.at(-1)!;
    yield replaced(
      node.slice(0, -1) +
        (last === '0' ? '1' : last === '1' ? '2' : /[0-9a-f]/u.test(last) ? '0' : `${last}x`),
    );
  } else if (typeof node === 'number') {
    yield replaced(node + 1);
  } else if (typeof node === 'boolean') {
    yield replaced(!node);
  } else {
    yield replaced('x');
  }
}

test('each check of the body refuses its own mutation, signed and logged with the right keys', () => {
  const d = 'ab'.repeat(32);
  const audit = (body: Writable<CertificateBody>) => body.audit!;
  const cases: readonly (readonly [string, (body: Writable<CertificateBody>) => void])[] = [
    ['structure', (b) => Object.assign(b, { extra: 1 })],
    ['structure', (b) => Object.assign(b, { version: 2 })],
    ['structure', (b) => b.datasets.splice(0)],
    [
      'times',
      (b) => {
        b.times.erased = b.times.requested;
      },
    ],
    [
      'times',
      (b) => {
        b.times.audited = null;
      },
    ],
    [
      'lineage',
      (b) => {
        b.lineage.push('forgotten-model');
      },
    ],
    [
      'lineage',
      (b) => {
        b.lineage.pop();
      },
    ],
    [
      'lineage',
      (b) => {
        b.claims.push(copy(b.claims[0]!));
      },
    ],
    [
      'claims',
      (b) => {
        b.claims[3]!.guarantee = null;
      },
    ],
    [
      'claims',
      (b) => {
        b.claims[1]!.digestAfter = b.claims[1]!.digestBefore;
      },
    ],
    [
      'claims',
      (b) => {
        b.claims[0]!.digestBefore = d;
      },
    ],
    [
      'privacy-plan',
      (b) => {
        b.claims[3]!.details = { ...b.claims[3]!.details, planHash: d };
      },
    ],
    [
      'ledger-proof',
      (b) => {
        b.claims[1]!.details = { ...b.claims[1]!.details, erasedItems: '2' };
      },
    ],
    [
      'ledger-proof',
      (b) => {
        b.claims[1]!.digestAfter = d;
      },
    ],
    [
      'overall-claim',
      (b) => {
        b.overall = 'ERASED_EXACT';
      },
    ],
    [
      'overall-claim',
      (b) => {
        b.claims[1]!.claim = 'CONTAINED_ONLY';
      },
    ],
    [
      'dataset-root',
      (b) => {
        (b.statements[0] as { count: number }).count = 61;
      },
    ],
    [
      'dataset-root',
      (b) => {
        b.statements.splice(4, 1);
      },
    ],
    [
      'dataset-root',
      (b) => {
        b.datasets.push(copy(b.datasets[0]!));
      },
    ],
    [
      'dataset-inclusion',
      (b) => {
        b.datasets[0]!.removed[0]!.leaf = d;
      },
    ],
    [
      'dataset-inclusion',
      (b) => {
        b.datasets[0]!.removed[1]! = copy(b.datasets[0]!.removed[0]!);
      },
    ],
    [
      'dataset-absence',
      (b) => {
        b.datasets[0]!.removed[0]!.left = null;
      },
    ],
    [
      'dataset-absence',
      (b) => {
        b.datasets[0]!.removed[0]!.right!.index += 1;
      },
    ],
    [
      'dataset-counts',
      (b) => {
        b.datasets[0]!.added = 1;
      },
    ],
    [
      'dataset-counts',
      (b) => {
        b.datasets[0]!.removed.pop();
      },
    ],
    [
      'key-receipt',
      (b) => {
        b.keyReceipt!.destroyedAt = '2026-01-31T12:04:59.999Z';
      },
    ],
    [
      'scan',
      (b) => {
        b.scan!.bytesScanned += 1;
      },
    ],
    [
      'scan',
      (b) => {
        b.scan!.stores[0]!.plantedFoundBefore = 2;
      },
    ],
    [
      'scan',
      (b) => {
        b.scan!.stores[1]!.plantedFoundAfter = 1;
      },
    ],
    [
      'scan',
      (b) => {
        b.scan!.needles[1]!.found = 1;
      },
    ],
    [
      'scan',
      (b) =>
        b.scan!.stores.forEach((s) => {
          Object.assign(s, { planted: 0, plantedFoundBefore: 0 });
        }),
    ],
    [
      'party-attestation',
      (b) => {
        b.parties.pop();
      },
    ],
    [
      'party-attestation',
      (b) => {
        b.parties[0]!.attestation.method = 'nothing/1';
      },
    ],
    [
      'party-attestation',
      (b) => {
        b.parties[0]! = copy(signPartyAttestation(world.body.parties[0]!.attestation, world.stranger));
      },
    ],
    [
      'party-attestation',
      (b) => {
        // An honest old attestation of the same party, replayed for this request.
        const old = { ...world.body.parties[0]!.attestation, requestDigest: d };
        b.parties[0] = copy(signPartyAttestation(old, world.parties[0]!));
      },
    ],
    [
      'party-attestation',
      (b) => {
        b.claims.at(-1)!.digestAfter = d;
      },
    ],
    [
      'audit-rule',
      (b) => {
        audit(b).coinKeyHash = d;
      },
    ],
    [
      'audit-rule',
      (b) => {
        audit(b).rule.leakAlpha = 0.02;
      },
    ],
    [
      'audit-rule',
      (b) => {
        const rule = { ...THREE_ARM_RULE, ratioLimit: 0.9 };
        Object.assign(audit(b), { rule, ruleDigest: ruleDigest(rule) });
        Object.assign(b.statements[1]!, { ruleDigest: ruleDigest(rule) });
      },
    ],
    [
      'audit-result',
      (b) => {
        audit(b).scores.delete[7]! += 0.5;
      },
    ],
    [
      'audit-result',
      (b) => {
        audit(b).scores.out[7] = 0.1234567;
      },
    ],
    [
      'audit-result',
      (b) => {
        audit(b).result.deleteAuc = 0.5;
      },
    ],
    [
      'audit-result',
      (b) => {
        audit(b).result.power = 0.5;
      },
    ],
    [
      'audit-result',
      (b) => {
        audit(b).result.verdict = 'INCONCLUSIVE';
      },
    ],
    [
      'status',
      (b) => {
        b.scan = null;
      },
    ],
    [
      'status',
      (b) => {
        b.keyReceipt = null;
      },
    ],
    [
      'status',
      (b) => {
        b.claims[1]!.claim = 'NOT_ERASED';
        b.overall = 'NOT_ERASED';
      },
    ],
    [
      'status',
      (b) => {
        b.claims[1]!.claim = 'CONTAINED_ONLY';
        b.overall = 'CONTAINED_ONLY';
      },
    ],
    [
      'scope',
      (b) => {
        b.outOfScope.splice(0);
      },
    ],
    [
      'scope',
      (b) => {
        b.limits = ' ';
      },
    ],
    [
      'wording',
      (b) => {
        b.limits = 'This erasure is GDPR-Compliant.';
      },
    ],
  ];
  for (const [check, alter] of cases) assert.equal(reissue(alter), check, alter.toString());
  // The issuer refuses each of them before signing, by the same name.
  for (const [check, alter] of cases) {
    const body = copy(world.body);
    alter(body);
    assert.throws(
      () => prepareCertificate(body as CertificateBody, world.issuer),
      (e) => isError(e, CERTIFICATE.BODY_REFUSED) && e.details.check === check,
    );
  }
  const checked = new Set(cases.map(([check]) => check));
  const result = verifyCertificate(issued.bytes, issued.keyFile);
  assert.ok(result.ok);
  const outside = [
    'canonical-form',
    'signature',
    'checkpoint',
    'log-inclusion',
    'log-consistency',
    'log-order',
  ];
  for (const { name } of result.checks)
    assert.ok(checked.has(name) || outside.includes(name), `${name} has no case`);
});

test('the order of the log: roots, rule and coin before the erasure, all before the certificate', () => {
  assert.equal(
    reissue(() => {}),
    'VERIFIED',
  );
  assert.equal(
    reissue(() => {}, [4, 0, 1, 2, 3]),
    'log-order',
  );
  assert.equal(
    reissue(() => {}, [0, 2, 3, 4, 1]),
    'log-order',
  );
});

test('log: forged checkpoint, foreign log, moved or missing positions', () => {
  const altered = (alter: (file: Writable<CertificateFile>) => void): string => {
    const value = copy(file);
    alter(value);
    return refusal(bytesOf(value));
  };
  const root = sha256('another root');
  const origin = issued.keyFile.logOrigin;
  const named = (signer: Signer): Signer => ({ ...signer, name: origin });
  assert.equal(
    altered((f) => {
      f.log.checkpoint = signCheckpoint({ origin, size: 8, root }, named(world.stranger));
    }),
    'checkpoint',
  );
  assert.equal(
    altered((f) => {
      f.log.checkpoint = signCheckpoint({ origin: 'other.example/log', size: 8, root }, world.logSigner);
    }),
    'checkpoint',
  );
  assert.equal(
    altered((f) => {
      f.log.checkpoint += '\u2014 witness AAAAAAAA\n';
    }),
    'checkpoint',
  );
  assert.equal(
    altered((f) => {
      f.log.checkpoint += f.log.checkpoint.split('\n\n')[1]!;
    }),
    'checkpoint',
  );
  assert.equal(
    altered((f) => {
      f.log.checkpoint = signCheckpoint({ origin, size: 8, root }, world.logSigner);
    }),
    'log-inclusion',
  );
  assert.equal(
    altered((f) => {
      f.log.statements.pop();
    }),
    'log-inclusion',
  );
  assert.equal(
    altered((f) => {
      f.log.statements.reverse();
    }),
    'log-inclusion',
  );
  assert.equal(
    altered((f) => {
      f.log.certificate.index -= 1;
    }),
    'log-inclusion',
  );
  assert.equal(
    altered((f) => {
      f.log.previous!.consistencyProof.pop();
    }),
    'log-consistency',
  );
  // The checkpoint as its own predecessor: true of every log, so it must not be a second form of the same certificate.
  assert.equal(
    altered((f) => {
      f.log.previous = { checkpoint: f.log.checkpoint, consistencyProof: [] };
    }),
    'log-consistency',
  );
});

test('a key file whose last checkpoint the log contradicts is refused; one that cannot be compared is said', () => {
  const origin = issued.keyFile.logOrigin;
  const older = verifyCertificate(issued.bytes, issued.olderKeyFile);
  assert.ok(older.ok && older.notChecked.length === 0);
  for (const size of [4, 8]) {
    const fork = signCheckpoint({ origin, size, root: sha256('split view') }, world.logSigner);
    assert.equal(refusal(issued.bytes, { ...issued.keyFile, checkpoint: fork }), 'log-consistency');
  }
  const other = signCheckpoint({ origin, size: 5, root: sha256('unknown') }, world.logSigner);
  for (const checkpoint of [other, null]) {
    const result = verifyCertificate(issued.bytes, { ...issued.keyFile, checkpoint });
    assert.ok(result.ok);
    assert.equal(result.notChecked.length, 1);
    assert.ok(!result.checks.some((check) => check.name === 'log-consistency'));
  }
});

test('files that are no certificate or no key file get coded answers', () => {
  const code = (bytes: Uint8Array, keyFile: unknown = issued.keyFile) => {
    const result = verifyCertificate(bytes, keyFile);
    return result.ok ? 'VERIFIED' : result.code;
  };
  const text = Buffer.from(issued.bytes).toString();
  for (const bad of [
    '',
    'PK\u0003\u0004',
    '{}',
    'null',
    '[]',
    `${text}\n`,
    JSON.stringify(file, null, 2),
    text.slice(0, -1),
  ]) {
    assert.equal(code(utf8(bad)), 'LETHE-1301');
  }
  assert.equal(code(new Uint8Array([0xff, 0xfe, 0])), 'LETHE-1301');
  const notKeys = [
    null,
    {},
    file,
    { ...issued.keyFile, issuerKeys: [] },
    { ...issued.keyFile, logKeys: [issued.keyFile.logKeys[0]!.replace(/\+[0-9a-f]{8}\+/u, '+00000000+')] },
    { ...issued.keyFile, checkpoint: 'x' },
    {
      ...issued.keyFile,
      checkpoint: signCheckpoint({ origin: 'o', size: 1, root: sha256('') }, world.stranger),
    },
  ];
  for (const bad of notKeys) {
    assert.equal(code(issued.bytes, bad), 'LETHE-1302');
    assert.throws(
      () => parseKeyFile(utf8(JSON.stringify(bad))),
      (e) => isError(e, CERTIFICATE.NOT_A_KEY_FILE),
    );
  }
  assert.throws(
    () => parseKeyFile(utf8('nonsense')),
    (e) => isError(e, CERTIFICATE.NOT_A_KEY_FILE),
  );
  assert.deepEqual(parseKeyFile(utf8(JSON.stringify(issued.keyFile, null, 2))), issued.keyFile);
});

test('a PARTIAL certificate says what is missing and verifies as that', () => {
  const body = copy(world.body);
  Object.assign(body, { status: 'PARTIAL', scan: null, keyReceipt: null, audit: null });
  body.times.audited = null;
  const prepared = prepareCertificate(body as CertificateBody, world.issuer);
  const { log, keyFile } = placeInLog(world, prepared);
  const result = verifyCertificate(issueCertificate(prepared, log, keyFile), keyFile);
  assert.ok(result.ok);
  assert.equal(result.notChecked.length, 3);
  assert.equal(
    reissue((b) => {
      b.status = 'PARTIAL';
      b.claims[1]!.claim = 'CONTAINED_ONLY';
      b.overall = 'CONTAINED_ONLY';
    }),
    'VERIFIED',
  );
});

test('the issuer cannot issue under a log or key that readers would refuse', () => {
  const prepared = prepareCertificate(world.body, world.stranger);
  const { log, keyFile } = placeInLog(world, prepared);
  assert.throws(
    () => issueCertificate(prepared, log, keyFile),
    (e) => isError(e, CERTIFICATE.BODY_REFUSED) && e.details.check === 'signature',
  );
  checkBody(world.body);
  assert.deepEqual(issueFixture(makeWorld()).bytes, issued.bytes);
  assert.equal(fromBase64(file.signature.value).length, 64);
});
