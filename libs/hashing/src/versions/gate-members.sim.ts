/**
 * What an honest update costs by the probes of a service that holds nothing out: `node libs/hashing/src/versions/gate-members.sim.ts`.
 *
 * Queries and gallery are items that both versions learned; a version flatters its members, the more the fewer they were. So the mean AP of the first
 * version's members falls by an update that is better for everybody else. Printed: differences of mAP as the gate takes them, mean and worst of five seeds, and the lowest bound.
 */
import { seededRandom } from '@lethe/std';
import { distance } from '../hamming.ts';
import type { LabelledCodes } from '../metrics.ts';
import { expectedAveragePrecision } from '../metrics.ts';
import { lowerBoundOfMean } from './bootstrap.ts';
import { CODE_BITS, digits } from './digits.fixture.ts';
import { DEFAULT_GATE } from './gate.ts';

const SEEDS = 5;
const QUERIES = 500;
const GALLERY = 4_096;
const BYTES = CODE_BITS / 8;
const FEATURE_DIM = 768;

/** AP of the first items, each asking for the others. */
function precisions(asked: LabelledCodes, gallery: LabelledCodes): Float64Array {
  return Float64Array.from({ length: Math.min(QUERIES, gallery.labels.length) }, (_, q) => {
    const sizes = new Uint32Array(CODE_BITS + 1);
    const relevant = new Uint32Array(CODE_BITS + 1);
    gallery.labels.forEach((label, i) => {
      if (i === q) return;
      const d = distance(asked.codes, q * BYTES, gallery.codes, i * BYTES, BYTES);
      sizes[d]!++;
      if (label === gallery.labels[q]) relevant[d]!++;
    });
    return expectedAveragePrecision(sizes, relevant);
  });
}

const CASES = {
  'digits 0-7, then 8 and 9': [(label: number) => label < 8, 6_400, (label: number) => label > 7, 2_000],
  'digits 0-3, then 4 and 5': [
    (label: number) => label < 4,
    4_000,
    (label: number) => label === 4 || label === 5,
    2_000,
  ],
  '4,000 items, then 400': [() => true, 4_000, () => true, 400],
  '4,000 items, then 4,000': [() => true, 4_000, () => true, 4_000],
  '400 items, then 7,000': [() => true, 400, () => true, 7_000],
} as const;

const found = Object.fromEntries(
  Object.keys(CASES).map((name) => [
    name,
    { stored: [] as number[], home: [] as number[], bounds: [] as number[] },
  ]),
);
for (let seed = 0; seed < SEEDS; seed++) {
  const data = digits(FEATURE_DIM, `members ${seed}`);
  const all = [...data.labels.keys()];
  for (const [name, [inFirst, firstMax, inSecond, secondMax]] of Object.entries(CASES)) {
    const first = all.filter((item) => inFirst(data.labels[item]!)).slice(0, firstMax);
    const known = new Set(first);
    const second = all.filter((item) => !known.has(item) && inSecond(data.labels[item]!)).slice(0, secondMax);
    const [v1, v2] = [data.fit(first, 1), data.fit([...first, ...second], 2)];
    const members = first.slice(0, GALLERY);
    const [old, now] = [data.encode(v1, members), data.encode(v2, members)];
    const base = precisions(old, old);
    const into = found[name]!;
    for (const [kind, values] of [
      ['stored', precisions(now, old)],
      ['home', precisions(now, now)],
    ] as const) {
      const differences = values.map((value, q) => value - base[q]!);
      into[kind].push(differences.reduce((sum, value) => sum + value, 0) / differences.length);
      const { confidenceLevel, resamples } = DEFAULT_GATE;
      into.bounds.push(
        lowerBoundOfMean(differences, confidenceLevel, resamples, seededRandom('members', kind)),
      );
    }
  }
}
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
console.table(
  Object.fromEntries(
    Object.entries(found).map(([name, { stored, home, bounds }]) => [
      name,
      {
        storedMean: Number(mean(stored).toFixed(4)),
        storedWorst: Number(Math.min(...stored).toFixed(4)),
        homeMean: Number(mean(home).toFixed(4)),
        homeWorst: Number(Math.min(...home).toFixed(4)),
        lowestBound: Number(Math.min(...bounds).toFixed(4)),
      },
    ]),
  ),
);
