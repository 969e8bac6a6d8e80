/** Discrete updates of new codes: the objective is the stated one, and falls by exactly what is said. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '@lethe/std';
import { unitLabels } from './code-sums.ts';
import { type DiscreteProblem, descend, discreteSweep, newCodeProblem } from './discrete.ts';

const K = 16;
const C = 3;
const N = 12;
const random = seededRandom('discrete');
const outputs = [0, 1].map(() =>
  Float32Array.from({ length: N * K }, () => Math.tanh(4 * random.uniform() - 2)),
);
const sets = Array.from({ length: N }, (_, i) => (i % 4 === 3 ? [0, 2] : [i % 3]));
const labels = unitLabels(sets, C);
const spec = { codeBits: K, classes: C, outputs, labels, rho: 0.7, anchor: 3 };
/** `-2 tr(Bᵀ R) + tr(B M Bᵀ)`: the objective without what no code changes. */
const objective = ({ pull, gram }: DiscreteProblem, codes: Int8Array): number =>
  codes.reduce((value, code, at) => {
    const [first, k] = [at - (at % K), at % K];
    const own = codes.subarray(first, first + K);
    return value + code * own.reduce((sum, other, l) => sum + gram[k * K + l]! * other, -2 * pull[at]!);
  }, 0);
const start = (): Int8Array => {
  const bits = seededRandom('start');
  return Int8Array.from({ length: N * K }, () => (bits.below(2) === 0 ? 1 : -1));
};

/** `rho ‖K S - U Bᵀ‖² + anchor ‖U - B‖²` as it is written, pair by pair. */
function explicit(codes: Int8Array): number {
  let value = 0;
  for (const u of outputs) {
    for (let i = 0; i < N; i++) {
      for (let j = 0; j < N; j++) {
        let s = 0;
        let product = 0;
        for (let c = 0; c < C; c++) s += labels[i * C + c]! * labels[j * C + c]!;
        for (let k = 0; k < K; k++) product += u[i * K + k]! * codes[j * K + k]!;
        value += spec.rho * (K * s - product) ** 2;
      }
      for (let k = 0; k < K; k++) value += spec.anchor * (u[i * K + k]! - codes[i * K + k]!) ** 2;
    }
  }
  return value;
}

test('every sweep lowers the stated objective by exactly what it reports, until nothing flips', () => {
  const problem = newCodeProblem(spec);
  const codes = start();
  for (let sweep = 0; ; sweep++) {
    const before = { explicit: explicit(codes), short: objective(problem, codes) };
    const { flips, decrease } = discreteSweep(problem, codes);
    const fell = before.explicit - explicit(codes);
    assert.ok(Math.abs(fell - decrease) < 1e-6 * before.explicit, `${fell} ${decrease}`);
    assert.ok(Math.abs(before.short - objective(problem, codes) - decrease) < 1e-6 * before.explicit);
    if (sweep === 0) assert.ok(flips > 0 && decrease > 0);
    if (flips === 0) break;
    assert.ok(sweep < 50);
  }
  const reached = explicit(codes);
  for (const at of codes.keys()) {
    const other = codes.slice();
    other[at] = -other[at]!;
    assert.ok(explicit(other) >= reached - 1e-6 * reached, 'a single other bit would be better');
  }
});

test('the descent leaves its start alone, gives every bit a value, and does the same twice', () => {
  const problem = newCodeProblem(spec);
  const from = start();
  const { codes } = descend(problem, from, 20);
  assert.deepEqual(from, start());
  assert.ok(codes.every((bit) => bit === 1 || bit === -1));
  assert.deepEqual(descend(problem, from, 20).codes, codes);
  assert.equal(descend(problem, codes, 1).flips, 0);
});
