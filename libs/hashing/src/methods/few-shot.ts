/**
 * A class of which there are five pictures: each enters the sums as its shifted copies, and each copy several times.
 *
 * Source: "Bag of Tricks for few-shot class-incremental learning" (abstract read): class rows assigned beforehand, increments that leave what is old
 * alone, more views of few samples. Different here: a copy is a fixed shift of one record and a repetition is a whole number, so all that a
 * record adds to the sums is a function of that record alone and leaves with it exactly. No mixtures of two records: taking out one of the two
 * could not equal never having had it without the other's help. The virtual classes of that paper are not here: turned
 * pictures of the old classes, on rows of their own, made old and new classes worse on the digits (`hashing-methods.bench.ts`).
 */
import { HASHING } from '../errors.ts';
import { FEATURE_MAX } from '../features.ts';
import type { HeadStatistics, LabelledFeatures } from '../statistics.ts';
import { addItems, subtractItems } from '../statistics.ts';

export interface FewShotOptions {
  /** Inputs are square pictures of this side, one byte a pixel. */
  readonly side: number;
  /** Copies are shifted by up to this many pixels both ways in both directions: (2 * reach + 1)² of them. */
  readonly reach: number;
  /** How often each copy counts, a whole number. */
  readonly weight: number;
}

/** Chosen on the digits 8 and 9, and 2 and 5, with other orders of the records than those of the stated figures. */
export const DEFAULT_FEW_SHOT: FewShotOptions = { side: 28, reach: 2, weight: 4 };

function check({ side, reach, weight }: FewShotOptions): void {
  const whole = (value: number, from: number, to: number) =>
    Number.isInteger(value) && value >= from && value <= to;
  if (!whole(side, 1, 255) || !whole(reach, 0, side - 1) || !whole(weight, 1, FEATURE_MAX ** 2)) {
    throw HASHING.OPTION_INVALID(
      'side, reach and weight are whole numbers, reach below side, weight from 1',
      {
        details: { side, reach, weight },
      },
    );
  }
}

/**
 * What leaves the picture is lost and 0 comes in.
 * @param inputs [n, side²]  @returns [(2 * reach + 1)², n, side²], the shifts in rising order of (dy, dx)  @throws LETHE-3403  @throws LETHE-3410
 */
export function shiftedCopies(inputs: Uint8Array, options: FewShotOptions): Uint8Array {
  check(options);
  const { side, reach } = options;
  const pixels = side * side;
  if (inputs.length % pixels !== 0) throw HASHING.SHAPE_MISMATCH('the inputs are not whole pictures');
  const span = 2 * reach + 1;
  const out = new Uint8Array(inputs.length * span * span);
  for (let shift = 0; shift < span * span; shift++) {
    const dy = Math.floor(shift / span) - reach;
    const dx = (shift % span) - reach;
    for (let from = 0; from < inputs.length; from += pixels) {
      for (let y = Math.max(0, dy); y < Math.min(side, side + dy); y++) {
        const start = from + (y - dy) * side + Math.max(0, -dx);
        const row = inputs.subarray(start, start + side - Math.abs(dx));
        out.set(row, shift * inputs.length + from + y * side + Math.max(0, dx));
      }
    }
  }
  return out;
}

/** Few labelled pictures on their way into or out of the sums. */
export interface Shots {
  /** [n, side²]. */
  readonly inputs: Uint8Array;
  /** n target codes of K entries ±1. */
  readonly targets: readonly Int8Array[];
  /** The feature map of the sums. */
  readonly features: (inputs: Uint8Array) => Uint8Array;
}

function change(
  sums: HeadStatistics,
  { inputs, targets, features }: Shots,
  options: FewShotOptions,
  apply: typeof addItems,
): HeadStatistics {
  const copies = features(shiftedCopies(inputs, options));
  if (inputs.length !== targets.length * options.side ** 2) {
    throw HASHING.SHAPE_MISMATCH('pictures and targets differ in number');
  }
  const repeats = (2 * options.reach + 1) ** 2;
  const batch: LabelledFeatures = {
    features: new Uint8Array(Buffer.concat(new Array<Uint8Array>(options.weight).fill(copies))),
    targets: Array.from({ length: options.weight * repeats }, () => targets).flat(),
  };
  return apply(sums, batch);
}

/** @throws LETHE-3403  @throws LETHE-3410 */
export const addShots = (sums: HeadStatistics, shots: Shots, options: FewShotOptions): HeadStatistics =>
  change(sums, shots, options, addItems);

/** Exact, with the options they were added with. @throws LETHE-3403  @throws LETHE-3404  @throws LETHE-3410 */
export const subtractShots = (sums: HeadStatistics, shots: Shots, options: FewShotOptions): HeadStatistics =>
  change(sums, shots, options, subtractItems);
