import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CliIo } from '../io.ts';
import { run } from '../program.ts';

async function lethe(...argv: readonly string[]) {
  const written = { out: '', err: '' };
  const io: CliIo = {
    out: (text) => {
      written.out += text;
    },
    err: (text) => {
      written.err += text;
    },
    errIsTerminal: false,
    environment: {},
    readStdin: async () => '',
    interruption: () => new AbortController().signal,
  };
  return { status: await run(argv, io), ...written };
}

const RUN = ['--sampling-probability', '256/60000', '--steps', '14062', '--delta', '1e-5'];

test('epsilon: three accountants under both relations, without a platform', async () => {
  for (const [relation, truth] of [
    ['add-remove', 2.3815969],
    ['replace-one', 4.2212967],
  ] as const) {
    const { status, out } = await lethe(
      'privacy',
      'epsilon',
      '--noise-multiplier',
      '1.1',
      ...RUN,
      '--relation',
      relation,
      '--json',
    );
    const answer = JSON.parse(out);
    assert.equal(status, 0);
    assert.ok(answer.epsilonUpper >= truth && answer.epsilonUpper <= truth * 1.0002);
    assert.ok(Math.abs(answer.epsilonIndependent - truth) < 1e-6);
    assert.ok(answer.epsilonRdp > answer.epsilonUpper);
    assert.deepEqual([answer.agreement, answer.loose, answer.quoted], ['agreed', false, answer.epsilonUpper]);
  }
});

test('noise: the multiplier keeps to the epsilon and is near the smallest', async () => {
  const { out } = await lethe('privacy', 'noise', '--epsilon', '3', ...RUN, '--json');
  const answer = JSON.parse(out);
  assert.ok(answer.epsilonUpper <= 3 && answer.epsilonUpper > 2.998);
  assert.ok(Math.abs(answer.noiseMultiplier - 0.9684) < 2e-4);
});

test('without sampling there is an exact answer; noise is found for what may be quoted', async () => {
  const gaussian = '--noise-multiplier 5.331773075188806 --sampling-probability 1 --steps 470';
  const asked = `privacy epsilon ${gaussian} --delta 2.2072132643242e-10 --json`;
  const exact = await lethe(...asked.split(' '));
  const answer = JSON.parse(exact.out);
  assert.deepEqual([exact.status, answer.agreement, answer.loose], [0, 'agreed', false]);
  assert.ok(Math.abs(answer.quoted - 33.0287245) < 2e-6);
  const argv =
    'privacy noise --epsilon 8.228 --sampling-probability 0.008577 --steps 180 --delta 2.858e-9 --json';
  const { quoted } = JSON.parse((await lethe(...argv.split(' '))).out);
  assert.ok(quoted <= 8.228 && quoted > 8);
});

test('what is infinite is null with a note, in valid JSON, and none for people', async () => {
  const noNoise = ['privacy', 'epsilon', '--noise-multiplier', '0', ...RUN];
  const answer = JSON.parse((await lethe(...noNoise, '--json')).out);
  assert.deepEqual([answer.epsilonUpper, answer.epsilonRdp, answer.quoted], [null, null, null]);
  assert.match(answer.notes.join(' '), /epsilonUpper is infinite/);
  assert.match((await lethe(...noNoise)).out, /epsilonUpper: none/);
});

test('bad values end with 2 and say which option and what to do', async () => {
  for (const [option, value] of [
    ['--delta', '1'],
    ['--delta', '0'],
    ['--delta', 'nan'],
    ['--steps', '1.5'],
    ['--sampling-probability', '1.2'],
    ['--sampling-probability', '1/2/3'],
    ['--noise-multiplier', '-1'],
    ['--cap', '10'],
    ['--relation', 'replace'],
  ] as const) {
    const argv = ['privacy', 'epsilon', '--noise-multiplier', '1', ...RUN, option, value];
    const { status, err, out } = await lethe(...argv);
    assert.equal(status, 2, option);
    assert.ok(err.includes(option) && out === '', `${option} ${value}: ${err}`);
  }
  const far = await lethe('privacy', 'noise', '--epsilon', '1e-9', ...RUN);
  assert.equal(far.status, 1);
  assert.match(far.err, /Ask for a larger epsilon/);
});

test('help explains the fields and has an example that works', async () => {
  const { out, status } = await lethe('privacy', 'epsilon', '--help');
  assert.equal(status, 0);
  const example = out.split('\n').find((line) => line.includes('$ lethe privacy epsilon'));
  assert.equal((await lethe(...example!.trim().replace('$ lethe ', '').split(' '))).status, 0);
});
