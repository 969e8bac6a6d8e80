import { type CnnSpec, cnn } from '@lethe/graph';
import { assert } from '@lethe/std';
import { float32, tensor } from '@lethe/tensor';
import { rowClassifier } from './mlp-model.ts';
import type { PrivateModel, UnitSource } from './private-model.ts';

/**
 * A convolutional classifier of pictures: inputs and loss as of `rowClassifier`, a row being a picture [h w c] with its channels last. Starts from
 * `initialParameters(cnnParameters(spec), random)`. Its units are `pictureUnits`, or `rowUnits` for persons with several pictures.
 */
export const cnnModel = (spec: CnnSpec, picturesPerUnit = 1): PrivateModel =>
  rowClassifier(
    spec.picture.reduce((product, size) => product * size, 1),
    picturesPerUnit,
    (x) => cnn(x, spec),
  );

/** Pictures of one byte a value. */
export interface Pictures {
  /** [count, size], row-major. */
  readonly pixels: Uint8Array;
  /** [count] */
  readonly labels: ArrayLike<number>;
  /** Values of a picture, h w c. */
  readonly size: number;
}

/**
 * Units of one picture each. A byte v becomes (v / 255 - mean) / deviation when it is fed, so that the set takes a byte a value in memory.
 * @param scale constants that were not fitted on the records, or 0 and 1
 */
export function pictureUnits(
  { pixels, labels, size }: Pictures,
  scale: { readonly mean: number; readonly deviation: number } = { mean: 0, deviation: 1 },
): UnitSource {
  assert(
    pixels.length === labels.length * size,
    `${labels.length} labels do not fit ${pixels.length} values`,
  );
  const values = Float32Array.from({ length: 256 }, (_, v) => (v / 255 - scale.mean) / scale.deviation);
  return {
    population: labels.length,
    feeds(units, capacity) {
      assert(units.length <= capacity, `${units.length} units do not fit into a run of ${capacity}`);
      const x = new Float32Array(capacity * size);
      const classes = new BigInt64Array(capacity);
      for (const [at, unit] of units.entries()) {
        for (let i = 0; i < size; i++) x[at * size + i] = values[pixels[unit * size + i]!]!;
        classes[at] = BigInt(labels[unit]!);
      }
      return {
        x: float32([capacity, 1, size], x),
        labels: tensor('int64', [capacity], classes, 'labels'),
        mask: float32([capacity], new Float32Array(capacity).fill(1, 0, units.length)),
      };
    },
  };
}
