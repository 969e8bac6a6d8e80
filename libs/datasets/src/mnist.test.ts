import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hex, sha256 } from '@lethe/std';
import { loadMnist } from './mnist.ts';
import { encodePayload } from './record.ts';
import { parseSpec, payloadBytes, vectorWidth } from './spec.ts';

const split = loadMnist();
const train = split.waves.flat();

test('8,000 training digits of 2,000 synthetic subjects, 2,000 test digits', () => {
  assert.equal(train.length, 8_000);
  assert.equal(split.test.length, 2_000);
  const counts = Map.groupBy(train, (record) => record.subjectId);
  assert.equal(counts.size, 2_000);
  assert.ok([...counts.values()].every((records) => records.length === 4));
  assert.equal(train[0]!.subjectId, 'subject-00001');
  assert.equal(train.at(-1)!.subjectId, 'subject-02000');
  assert.match(split.spec.provenance, /synthetic/);
});

test('no subject and no digit is in both waves, and every digit is in the test', () => {
  split.waves.forEach((wave, w) => {
    assert.ok(wave.length > 1_000);
    assert.ok(wave.every((record) => split.waveClasses[w]!.includes(record.label!)));
  });
  const counts = Map.groupBy(split.test, (row) => row.label);
  for (let digit = 0; digit < 10; digit++) assert.ok(counts.get(digit)!.length > 130, `digit ${digit}`);
});

test('every digit is used once and the split is the same in every process', () => {
  assert.deepEqual(parseSpec(split.spec), split.spec);
  assert.equal(vectorWidth(split.spec), 784);
  assert.equal(payloadBytes(split.spec), 787);
  const payloads = [...train, ...split.test].map((row) => encodePayload(split.spec, row));
  const distinct = new Set(payloads.map((payload) => hex(sha256(payload))));
  assert.equal(distinct.size, 10_000, 'no digit is in the split twice');
  assert.equal(hex(sha256(...payloads)), '97d8bcb27350fb74b37cba1e15c7ffba61f8b56b14343a5e14b7f078fc54afed');
});
