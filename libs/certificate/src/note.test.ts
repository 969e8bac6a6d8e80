import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBase64, isError, seededRandom, sha256, utf8 } from '@lethe/std';
import {
  CERTIFICATE,
  generateSigner,
  openCheckpoint,
  parseVerifierKey,
  signCheckpoint,
  signerFromSeed,
  verifierKey,
  verifyEd25519,
} from './index.ts';

const refused = (error: unknown) => isError(error, CERTIFICATE.BAD_NOTE);

test('the example of the Go note package: key, key hash and signature', () => {
  const key = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
  const text =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
  const signature = fromBase64(
    'x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=',
  );
  const verifier = parseVerifierKey(key);
  assert.equal(verifierKey(verifier), key);
  assert.equal(Buffer.from(signature.subarray(0, 4)).toString('hex'), 'c74f20a3');
  assert.ok(verifyEd25519(verifier.publicKey, utf8(text), signature.subarray(4)));
  assert.ok(!verifyEd25519(verifier.publicKey, utf8(`${text} `), signature.subarray(4)));
});

test('RFC 8032 section 7.1, test 2: key and signature from the seed', () => {
  const seed = Buffer.from('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb', 'hex');
  const signer = signerFromSeed('rfc', seed);
  assert.equal(
    Buffer.from(signer.publicKey).toString('hex'),
    '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
  );
  assert.equal(
    Buffer.from(signer.sign(new Uint8Array([0x72]))).toString('hex'),
    '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da' +
      '085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  );
});

test('verifier keys that do not fit together are refused', () => {
  for (const bad of [
    '',
    'a+b',
    'PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW',
    'PeterNeumanM+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW',
    'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TX',
  ]) {
    assert.throws(() => parseVerifierKey(bad), refused, bad);
  }
});

test('a checkpoint with a witness: the log must sign, nobody unknown may', () => {
  const random = seededRandom('notes');
  const [log, witness, stranger] = ['log.example', 'witness.example', 'stranger.example'].map(
    (name) => generateSigner(name, random).signer,
  ) as [
    ReturnType<typeof signerFromSeed>,
    ReturnType<typeof signerFromSeed>,
    ReturnType<typeof signerFromSeed>,
  ];
  const checkpoint = { origin: 'log.example', size: 2 ** 40, root: sha256('root') };
  const known = [log, witness];
  assert.deepEqual(
    openCheckpoint(signCheckpoint(checkpoint, log, witness), 'log.example', known),
    checkpoint,
  );
  assert.deepEqual(openCheckpoint(signCheckpoint(checkpoint, log), 'log.example', known), checkpoint);
  const bad = [
    signCheckpoint(checkpoint, witness),
    signCheckpoint(checkpoint),
    signCheckpoint(checkpoint, log, stranger),
    signCheckpoint(checkpoint, log, log),
    signCheckpoint(checkpoint, log).replace('1099511627776', '01099511627776'),
    signCheckpoint(checkpoint, log).replace('1099511627776', '1099511627777'),
    signCheckpoint(checkpoint, log).trimEnd(),
    signCheckpoint({ ...checkpoint, size: -1 }, log),
  ];
  for (const note of bad) assert.throws(() => openCheckpoint(note, 'log.example', known), refused, note);
  assert.throws(() => openCheckpoint(signCheckpoint(checkpoint, log), 'other.example', known), refused);
  assert.throws(() => signCheckpoint({ ...checkpoint, origin: 'a\nb' }, log), refused);
  assert.throws(() => signCheckpoint(checkpoint, { ...log, name: 'with space' }), refused);
});
