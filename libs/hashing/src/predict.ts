/** From codes to labels, in two ways; both are deterministic. */
import type { Codebook } from './codebook.ts';
import { classCode, packCode } from './codebook.ts';
import { HASHING } from './errors.ts';
import { distance } from './hamming.ts';

/**
 * Label by vote of the neighbours: most votes, then the smaller sum of distances, then the smaller label.
 * @returns the label and its share of the votes in (0, 1]  @throws LETHE-3410 nobody votes
 */
export function voteLabel(neighbours: readonly { readonly label: number; readonly distance: number }[]): {
  label: number;
  share: number;
} {
  const tally = new Map<number, { votes: number; distance: number }>();
  for (const { label, distance } of neighbours) {
    const entry = tally.get(label) ?? { votes: 0, distance: 0 };
    tally.set(label, { votes: entry.votes + 1, distance: entry.distance + distance });
  }
  const [best] = [...tally].sort(
    ([labelA, a], [labelB, b]) => b.votes - a.votes || a.distance - b.distance || labelA - labelB,
  );
  if (best === undefined) throw HASHING.OPTION_INVALID('no neighbour has a vote');
  return { label: best[0], share: best[1].votes / neighbours.length };
}

/** Class whose codebook row is nearest to the code; ties go to the class that was allocated first. @throws LETHE-3402, LETHE-3406 */
export function nearestClass(codebook: Codebook, code: Uint8Array): { classIndex: number; distance: number } {
  const bytes = codebook.codeBits / 8;
  if (code.length !== bytes) throw HASHING.CODE_LENGTH_WRONG(`a code of this codebook has ${bytes} bytes`);
  if (codebook.classes.length === 0) throw HASHING.CLASS_UNKNOWN('the codebook has no class yet');
  let nearest = { classIndex: 0, distance: Number.POSITIVE_INFINITY };
  codebook.classes.forEach((_, classIndex) => {
    const d = distance(packCode(classCode(codebook, classIndex)), 0, code, 0, bytes);
    if (d < nearest.distance) nearest = { classIndex, distance: d };
  });
  return nearest;
}
