/** Two-modality multi-label records whose modalities share only their classes: for tests and figures without downloads. */
import { seededRandom } from '@lethe/std';
import type { DeepItems } from './trainer.ts';

export interface SyntheticSpec {
  readonly classes: number;
  readonly widths: { readonly image: number; readonly text: number };
  /** Standard deviation of the noise on every class direction of length 1. */
  readonly noise: number;
}

/** @param among the classes that records of this draw have; each has one, and a second one with probability 0.4 */
export function syntheticItems(
  spec: SyntheticSpec,
  count: number,
  among: readonly number[],
  seed: string,
): DeepItems {
  const normal = (random: ReturnType<typeof seededRandom>): number =>
    Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
  const world = seededRandom('synthetic-world', spec.classes);
  const random = seededRandom('synthetic', seed);
  const directions = Object.entries(spec.widths).map(([name, width]) => ({
    name,
    width,
    rows: Float32Array.from({ length: spec.classes * width }, () => normal(world) / Math.sqrt(width)),
  }));
  const labels = Array.from({ length: count }, () => {
    const first = among[random.below(among.length)]!;
    const second = among[random.below(among.length)]!;
    return random.uniform() < 0.4 && second !== first ? [first, second].sort((a, b) => a - b) : [first];
  });
  const inputs = Object.fromEntries(
    directions.map(({ name, width, rows }) => {
      const x = new Float32Array(count * width);
      for (const [i, set] of labels.entries()) {
        for (let k = 0; k < width; k++) {
          const signal = set.reduce((sum, c) => sum + rows[c * width + k]!, 0);
          x[i * width + k] = Math.sqrt(width) * (signal + (spec.noise * normal(random)) / Math.sqrt(width));
        }
      }
      return [name, x];
    }),
  );
  return { inputs, labels };
}
