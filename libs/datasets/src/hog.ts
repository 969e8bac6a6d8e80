/**
 * Histograms of oriented gradients: a fixed description of a grey picture that makes a linear model strong. After Dalal and
 * Triggs, "Histograms of Oriented Gradients for Human Detection" (CVPR 2005), section 6; what is different here: directions
 * keep their sign, cells have soft borders and no blocks, and a picture is normalised as a whole.
 *
 * Nothing in it is fitted on pictures, so a description depends on its own picture alone: it costs no privacy under
 * differential privacy and leaves nothing to erase.
 */

/** All that defines the transform; its digest stands in plans and certificates. */
export const HOG_CONSTANTS = {
  format: 'lethe-hog-v1',
  gradient: 'central differences, border repeated',
  orientations: 9,
  range: 'signed, 360 degrees, linear between the two nearest',
  cells: 11,
  weights: 'bilinear between cell centres, none beyond the outer ones',
  root: 'square root of every cell',
  normalisation: 'minus the mean of the picture, then length 1',
} as const;

const { orientations: ORIENTATIONS, cells: CELLS } = HOG_CONSTANTS;
const PER_ORIENTATION = CELLS * CELLS;

/** Values that describe one picture: 9 orientations x 11 x 11 cells, orientation first, rows of cells before columns. */
export const HOG_WIDTH = ORIENTATIONS * PER_ORIENTATION;

/** For each pixel of an axis the cell before it (-1 to 10; the other is the next one) and the share of that next one. */
function cellsAlong(pixels: number): { before: Int32Array; share: Float64Array } {
  const at = Float64Array.from({ length: pixels }, (_, i) => ((i + 0.5) * CELLS) / pixels - 0.5);
  return { before: Int32Array.from(at, Math.floor), share: at.map((value) => value - Math.floor(value)) };
}

/**
 * Histograms of every picture. Neither brightness nor contrast matters: values may be bytes or scaled to [0, 1].
 * @param pictures [n, height, width], row-major; both sides at least 11 pixels
 * @returns [n, 1089], each row of length 1; a picture of one grey has no gradients and gives zeros
 */
export function hog(pictures: Float32Array | Uint8Array, height: number, width: number): Float32Array {
  const pixels = height * width;
  const count = pictures.length / pixels;
  const out = new Float32Array(count * HOG_WIDTH);
  const rows = cellsAlong(height);
  const columns = cellsAlong(width);
  // One ring of cells more, so that shares beyond the outer centres need no test; the ring is dropped at the end.
  const side = CELLS + 2;
  const plane = side * side;
  const histogram = new Float64Array(ORIENTATIONS * plane);
  for (let n = 0; n < count; n++) {
    histogram.fill(0);
    for (let y = 0; y < height; y++) {
      const line = n * pixels + y * width;
      const above = y === 0 ? line : line - width;
      const below = y === height - 1 ? line : line + width;
      const cellRow = (rows.before[y]! + 1) * side;
      const down = rows.share[y]!;
      for (let x = 0; x < width; x++) {
        const dx = pictures[line + Math.min(x + 1, width - 1)]! - pictures[line + Math.max(x - 1, 0)]!;
        const dy = pictures[below + x]! - pictures[above + x]!;
        if (dx === 0 && dy === 0) continue;
        const turn = Math.atan2(dy, dx) / (2 * Math.PI);
        const bin = (turn < 0 ? turn + 1 : turn) * ORIENTATIONS;
        const first = Math.floor(bin);
        const toSecond = bin - first;
        const length = Math.sqrt(dx * dx + dy * dy);
        const right = columns.share[x]!;
        const cell = cellRow + columns.before[x]! + 1;
        for (let k = 0; k < 2; k++) {
          const weight = length * (k === 0 ? 1 - toSecond : toSecond);
          const at = ((first + k) % ORIENTATIONS) * plane + cell;
          histogram[at]! += weight * (1 - down) * (1 - right);
          histogram[at + 1]! += weight * (1 - down) * right;
          histogram[at + side]! += weight * down * (1 - right);
          histogram[at + side + 1]! += weight * down * right;
        }
      }
    }
    normalise(histogram, side, out.subarray(n * HOG_WIDTH, (n + 1) * HOG_WIDTH));
  }
  return out;
}

/** Inner cells of a histogram [9, side, side], rooted, centred and scaled to length 1, into `out`. */
function normalise(histogram: Float64Array, side: number, out: Float32Array): void {
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < HOG_WIDTH; i++) {
    const inCell = i % PER_ORIENTATION;
    const row = Math.floor(inCell / CELLS) + 1;
    const at = (Math.floor(i / PER_ORIENTATION) * side + row) * side + (inCell % CELLS) + 1;
    const value = histogram[at]!;
    out[i] = Math.sqrt(value);
    sum += out[i]!;
    squares += value;
  }
  const mean = sum / HOG_WIDTH;
  const length = Math.sqrt(squares - sum * mean);
  if (sum > 0) for (let i = 0; i < HOG_WIDTH; i++) out[i] = (out[i]! - mean) / length;
}
