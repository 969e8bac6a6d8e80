/**
 * Yesterday's certificates stay verifiable: each was issued by the release whose folder it lies in, by `npm run demo`. They name
 * nobody. A later release adds a folder and changes none.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseKeyFile, verifyCertificate } from '@lethe/certificate';

const folder = new URL('certificates/', import.meta.url);

for (const release of readdirSync(folder)) {
  const read = (name: string) => readFileSync(new URL(`${release}/${name}`, folder));
  const [certificate, key] = [read('certificate.json'), parseKeyFile(read('verify-key.json'))];

  test(`${release}: today's verifier accepts the certificate`, () => {
    const result = verifyCertificate(certificate, key);
    assert.ok(result.ok, JSON.stringify(result));
    assert.ok(result.checks.length > 0);
  });

  test(`${release}: a flipped bit anywhere is refused`, () => {
    const bits = certificate.length * 8;
    // One bit in each of 61 stretches of the file, never at the same place of a byte for long.
    for (let bit = 0; bit < bits; bit += Math.ceil(bits / 61)) {
      const flipped = Uint8Array.from(certificate);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      assert.equal(verifyCertificate(flipped, key).ok, false, `bit ${bit}`);
    }
  });
}
