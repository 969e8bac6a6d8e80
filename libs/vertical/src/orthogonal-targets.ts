/**
 * One target code per class, pairwise as far apart as codes can be.
 *
 * HashVFL (Qiu et al., arXiv 2212.00325v2, section "consistency") draws them at random; here they are rows 1..C of Sylvester's Hadamard matrix,
 * entry (-1)^popcount(r & c): any two differ in exactly half of the bits, which is Plotkin's optimum, and every row is balanced. Row 0 is left out: it is constant.
 * Only the label holder knows the targets. A job draws secret sign flips and a permutation of the columns, so that the codes of two jobs do not link.
 */
import { type RandomSource, shuffle } from '@lethe/std';
import { VERTICAL } from './errors.ts';

/**
 * @param codeBits a power of two, larger than the number of classes @param random draws the job's flips and permutation
 * @returns [classes, codeBits] of +1 and -1, row-major
 * @throws LETHE-3501 codeBits is no power of two or too small
 */
export function orthogonalTargets(classes: number, codeBits: number, random: RandomSource): Float32Array {
  if (!(Number.isInteger(Math.log2(codeBits)) && classes >= 2 && classes < codeBits)) {
    throw VERTICAL.BAD_NETWORK(`${classes} classes have no orthogonal targets of ${codeBits} bits`, {
      details: { field: 'codeBits', classes, codeBits },
    });
  }
  const columns = shuffle(
    Uint32Array.from({ length: codeBits }, (_, column) => column),
    random,
  );
  const flips = columns.map(() => random.below(2));
  const targets = new Float32Array(classes * codeBits);
  for (let label = 0; label < classes; label++) {
    for (let bit = 0; bit < codeBits; bit++) {
      const odd = (popcount((label + 1) & columns[bit]!) + flips[bit]!) % 2 === 1;
      targets[label * codeBits + bit] = odd ? -1 : 1;
    }
  }
  return targets;
}

function popcount(value: number): number {
  let count = 0;
  for (let rest = value; rest !== 0; rest &= rest - 1) count++;
  return count;
}
