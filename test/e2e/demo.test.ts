/** `npm run demo -- --json`, as a new user would run it; every figure that the demonstration promises is held to its bar. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type CertificateFile, runVerify } from '@lethe/certificate';
import type { Summary } from '@lethe/demo/summary';
import { runDemo } from './support-small/demo.ts';
import { withDirectory } from './support-small/platform.ts';

const SECONDS_MAX = 180;

test('the demonstration keeps what it promises', { timeout: 420_000 }, async (t) => {
  await withDirectory(async (out) => {
    const { code, stdout, stderr } = await runDemo('libs/demo/src/main.ts', out);
    assert.equal(code, 0, stderr.slice(-2_000));
    assert.match(stderr, /The 2,000 subjects are synthetic/, 'progress goes to standard error');
    const summary = JSON.parse(stdout) as Summary;
    const written = readFileSync(join(out, 'summary.json'), 'utf8');
    assert.equal(written, stdout, 'standard output has the summary and nothing else');
    t.diagnostic(stdout);

    const { federation, hashing, dp, unlearning, erasure, audit, certificate, seconds } = summary;
    assert.ok(federation && hashing && dp && unlearning && erasure && audit && certificate && seconds);
    await t.test('federation', () => {
      assert.ok(federation.accuracy >= 0.93, String(federation.accuracy));
      assert.ok(Math.abs(federation.accuracy - federation.accuracyWithoutHashing) <= 0.02);
      assert.ok(federation.bytesPerSampleUp > 0 && federation.bytesPerSampleDown > 0);
    });
    await t.test('lifelong hashing', () => {
      assert.ok(hashing.mapAfter >= 0.85, String(hashing.mapAfter));
      assert.ok(hashing.mapAfter >= 0.97 * hashing.mapFullRetrain);
      assert.ok(hashing.mapNewClasses >= 0.8);
      assert.ok(hashing.mapBefore < hashing.mapAfter, 'the control: the update was needed');
      assert.equal(hashing.oldCodesChanged, 0);
      assert.equal(hashing.weightsEqualFullRetrain, true);
      assert.ok(hashing.timeSaved >= 0.6, String(hashing.timeSaved));
      assert.ok(hashing.timeSaved < 1, 'the update took time, and it was measured');
    });
    await t.test('differential privacy', () => {
      assert.ok(dp.accuracy >= 0.93, String(dp.accuracy));
      assert.ok(dp.record.accuracy >= 0.94, String(dp.record.accuracy));
      assert.deepEqual([dp.unit, dp.record.unit], ['subject', 'record']);
      for (const model of [dp, dp.record]) {
        assert.ok(model.epsilonUpper <= 3 && model.epsilonUpper > 0);
        assert.equal(model.delta, 1e-5);
        assert.ok(model.noiseMultiplier > 0 && model.samplingProbability > 0);
        assert.equal(model.neighboringRelation, 'add-or-remove-one');
        assert.equal(model.secondOpinion, 'agreed');
        assert.ok(Math.abs(model.epsilonIndependent! - model.epsilonUpper) < 0.01);
      }
      assert.ok(dp.record.epsilonOfPerson > dp.record.epsilonUpper, 'a record-level promise is weaker');
    });
    await t.test('exact unlearning', () => {
      assert.ok(unlearning.accuracy >= 0.9, String(unlearning.accuracy));
      assert.ok(
        unlearning.costVsRetrain > 0 && unlearning.costVsRetrain <= 0.15,
        String(unlearning.costVsRetrain),
      );
      assert.equal(unlearning.equalsNeverSeen, true);
    });
    await t.test('erasure', () => {
      assert.equal(erasure.status, audit.verdict === 'FAIL' ? 'PARTIAL' : 'CERTIFIED');
      assert.ok(erasure.secondsToCertificate > 0);
      assert.equal(erasure.residualBytes, 0);
      assert.ok(erasure.plantedFound > 0);
      assert.ok(erasure.itemsFoundBefore > 0);
      assert.equal(erasure.itemsFoundAfter, 0);
      assert.equal(erasure.reingestionRefused, true);
    });
    await t.test('audit: any verdict, never without its figures', () => {
      // An exact erasure passes in about 97 % of runs.
      assert.ok(['PASS', 'FAIL', 'INCONCLUSIVE'].includes(audit.verdict), audit.verdict);
      for (const figure of [audit.keepAuc, audit.deleteAuc, audit.power])
        assert.ok(figure >= 0 && figure <= 1, String(figure));
    });
    await t.test('the certificate claims what each private model promised', () => {
      const file = JSON.parse(readFileSync(join(out, 'certificate.json'), 'utf8')) as CertificateFile;
      for (const [model, id, unit] of [
        [dp, 'digits-dp', 'SUBJECT'],
        [dp.record, 'digits-dp-record', 'RECORD'],
      ] as const) {
        const claim = file.body.claims.find(({ artefact }) => artefact.endsWith(`/models/${id}`));
        assert.equal(claim?.claim, 'ERASED_CERTIFIED');
        assert.deepEqual(claim.guarantee, {
          epsilon: model.epsilonUpper,
          delta: model.delta,
          unit,
          neighboringRelation: model.neighboringRelation,
        });
        assert.equal(claim.details.secondOpinion, 'agreed');
        assert.equal(/a person with k records/.test(String(claim.details.group)), unit === 'RECORD');
        assert.match(String(claim.details.planHash), /^[0-9a-f]{64}$/);
      }
      assert.equal(file.body.overall, 'ERASED_CERTIFIED', 'the weakest claim');
    });
    await t.test('certificate', () => {
      assert.equal(certificate.verified, true);
      assert.equal(certificate.tamperedRejected, true);
      const code = runVerify([join(out, 'certificate.json'), '--key', join(out, 'verify-key.json')], {
        readFile: (path) => readFileSync(path),
        out: () => undefined,
        err: (text) => t.diagnostic(text),
      });
      assert.equal(code, 0, 'the files that it leaves verify');
      const report = readFileSync(join(out, 'report.html'), 'utf8');
      assert.match(report, /^<!doctype html>/i);
      assert.doesNotMatch(report, /(?:src|href)="https?:/, 'self-contained');
    });
    await t.test('time', () => {
      assert.ok(seconds <= SECONDS_MAX, `${seconds} s`);
      assert.ok(existsSync(join(out, 'runs')));
    });
  });
});
