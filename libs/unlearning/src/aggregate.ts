import { assert } from '@lethe/std';

/** The ensemble's logits: the mean over shards, each [n, classes]. @returns [n, classes] */
export function meanLogits(perShard: readonly Float32Array[]): Float32Array {
  const [first] = perShard;
  assert(
    first && perShard.every(({ length }) => length === first.length),
    'shards disagree on the number of logits',
  );
  return first.map((_, i) => perShard.reduce((sum, logits) => sum + logits[i]!, 0) / perShard.length);
}

/** The class of the largest logit of each row, the lowest on a tie. @param logits [n, classes] @returns [n] */
export function predictedClasses(logits: Float32Array, classes: number): number[] {
  return Array.from({ length: logits.length / classes }, (_, row) => {
    const values = logits.subarray(row * classes, (row + 1) * classes);
    return values.reduce((best, value, i) => (value > values[best]! ? i : best), 0);
  });
}

/**
 * log p - log(1 - p) of the label's softmax probability p: the score of membership attacks (Carlini et al., "Membership inference
 * attacks from first principles", 2022), computed as z_y - logsumexp over the other classes, which stays finite where p rounds to 1.
 * @param logits [n, classes] @param labels [n] @returns [n]
 */
export function labelScores(logits: Float32Array, labels: ArrayLike<number>, classes: number): Float64Array {
  return Float64Array.from({ length: labels.length }, (_, row) => {
    const values = Array.from(logits.subarray(row * classes, (row + 1) * classes));
    const [own] = values.splice(labels[row]!, 1);
    const top = Math.max(...values);
    return own! - top - Math.log(values.reduce((sum, value) => sum + Math.exp(value - top), 0));
  });
}
