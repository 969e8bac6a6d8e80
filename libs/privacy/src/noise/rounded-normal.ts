import { assert } from '@lethe/std';
import type { Keystream } from './keystream.ts';

/**
 * The rounded normal: a normal of standard deviation s, in cells, replaced by the midpoint of its cell [k, k + 1). Its values are k + 1/2 for
 * integer k, both signs, with P = Phi((k + 1)/s) - Phi(k/s). It is *not* an approximation of a normal: adding it to integers is the
 * same as adding a normal and rounding, which is post-processing of the Gaussian mechanism, so every bound for that mechanism holds for the output.
 *
 * Sampler: Marsaglia and Tsang's ziggurat ("The ziggurat method for generating random variables", 2000) over whole cells, so that each
 * decision is about a cell's probability and nothing is truncated. Different from theirs: 128 layers, of which layer, sign and position come from
 * disjoint bits of one 32-bit word (7 + 1 + 24); widths are whole numbers of cells and positions uniform on them by rejection, never by
 * multiplication; the tail is unbounded, from a staircase 2^-j that halves every `TAIL_CELLS`; acceptance compares a real uniform of full relative precision.
 *
 * What is left is the rounding of float64 in the acceptance tests: P'(k) / P(k) = 1 ± 2^-46 for |k| <= 4 s (exponent x^2/2 <= 8 with relative error 3 x 2^-53, the
 * exponential below one ulp, five more roundings: < 40 x 2^-53 before normalisation) and 1 ± 2^-43 to 16 s; see `samplerTotalVariation`.
 */
/** Name of this sampler under the AES-256-CTR keystream, for plans and ledgers: another name is other noise. */
export const NOISE_GENERATOR = 'aes-256-ctr/grid-ziggurat/1';

export const LAYERS = 128;
const POSITIONS = 2 ** 24;
/** Deviations that the tables are made for: with fewer cells the grid would cost sensitivity, with more the rejections cost time. */
export const MIN_DEVIATION_CELLS = 2 ** 18;
export const MAX_DEVIATION_CELLS = 2 ** 19;
/** One step of the tail's staircase: at least s/4, and exp(-r/4) < 1/2 for every r > 2.8 where the tail starts. */
const TAIL_CELLS = 2 ** 17;

/**
 * Total variation distance between `samples` values of the sampler and as many independent rounded normals: what delta has to be charged with,
 * times 1 + e^epsilon. Pinsker: sqrt(KL / 2), KL <= samples x chi^2 and chi^2 <= 2^-92 + P(|x| > 4) 2^-86 < 2^-91; beyond 16 deviations lies 2^-188.
 * 10^6 parameters and 10^4 steps: 2e-9.
 */
export function samplerTotalVariation(samples: number): number {
  return Math.sqrt(samples / 2) * 2 ** -45.5 + samples * 2 ** -188;
}

/**
 * What `samples` values of the sampler cost against the ideal noise, without the factor e^epsilon of a total variation: a mechanism that is (epsilon, delta) with
 * rounded normals is (epsilon + charge.epsilon, delta (1 + charge.epsilon) + charge.delta) with the sampler, for epsilon up to 50.
 *
 * log P'/P of one value is at most r = 2^-42.9 within 16 deviations, its mean at most r^2 in size. Over independent values the sum stays within
 * h = r sqrt(2 samples ln 2^189) + samples r^2 but for probability 2^-188 (Hoeffding), under both laws; a draw beyond 16 deviations adds 2^-188 each.
 * So Pr'[O] <= e^h Pr[O] + t and the same backwards: 2 h of epsilon, e^h delta + t (1 + e^(epsilon + h)) of delta.
 * 10^6 parameters and 10^4 steps: 5e-7 of epsilon.
 */
export function samplerCharge(samples: number): { readonly epsilon: number; readonly delta: number } {
  const ratio = 2 ** -42.9;
  const within = ratio * Math.sqrt(2 * samples * 189 * Math.LN2) + samples * ratio ** 2;
  return { epsilon: 2 * within, delta: samples === 0 ? 0 : (samples + 1) * 2 ** -188 * 2 ** 74 };
}

export interface ZigguratTables {
  /** Cells under each layer; of layer 0 the last 2 TAIL_CELLS stand for the tail. */
  readonly width: readonly number[];
  /** Cells of each layer that lie wholly under the density: accepted at once. */
  readonly inner: readonly number[];
  /** Bottom of each layer in units of the density at 0; layer 0 starts at 0. */
  readonly bottom: readonly number[];
  readonly height: readonly number[];
}

/** Mean over cell k of exp(-x^2/2), x = t/s: midpoint and its h^2/24 correction; the next term is below 2^-78 for s >= 2^18. */
export function cellMean(k: number, s: number): number {
  const x = (k + 0.5) / s;
  return Math.exp((-x * x) / 2) * (1 + (x * x - 1) / (24 * s * s));
}

/** Number of cells whose mean lies above `level`. */
function cellsAbove(level: number, s: number): number {
  if (level >= cellMean(0, s)) return 0;
  let count = Math.max(1, Math.floor(s * Math.sqrt(-2 * Math.log(level))));
  while (cellMean(count, s) > level) count++;
  while (cellMean(count - 1, s) <= level) count--;
  return count;
}

/** Layers of equal area from the start of the tail upwards; undefined if they end below the top. */
function stack(s: number, tailStart: number): ZigguratTables | undefined {
  const x = tailStart / s;
  const base = tailStart + 2 * TAIL_CELLS;
  const first = Math.exp((-x * x) / 2);
  const tables = { width: [base], inner: [tailStart], bottom: [0], height: [first] };
  let [level, lost] = [first, 0];
  for (let layer = 1; layer < LAYERS; layer++) {
    const width = tables.inner[layer - 1]!;
    if (width === 0) return undefined;
    const height = (base * first) / width;
    tables.width.push(width);
    tables.height.push(height);
    tables.bottom.push(level);
    // Kahan: every level within two units of its last place.
    const part = height - lost;
    const sum = level + part;
    lost = sum - level - part;
    level = sum;
    tables.inner.push(cellsAbove(level, s));
  }
  return tables;
}

/** The tables whose topmost layer just covers the top of the density. @param s deviation in cells */
export function zigguratTables(s: number): ZigguratTables {
  // The further out the tail starts, the less area a layer has: at `low` the layers pass the top, at `high` they end below it.
  const covers = (tailStart: number): boolean => {
    const tables = stack(s, tailStart);
    return tables === undefined || tables.inner[LAYERS - 1] === 0;
  };
  let [low, high] = [Math.floor(2.9 * s), Math.ceil(4.5 * s)];
  assert(covers(low) && !covers(high), `no ziggurat for a deviation of ${s} cells`);
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (covers(middle)) low = middle;
    else high = middle;
  }
  const tables = stack(s, low);
  assert(tables !== undefined, `no ziggurat for a deviation of ${s} cells`);
  return tables;
}

/** Fills arrays with independent rounded normals of one deviation. */
export class RoundedNormal {
  readonly #s: number;
  readonly #bottom: Float64Array;
  readonly #height: Float64Array;
  /** First cell of the tail. */
  readonly #tailStart: number;
  readonly #reciprocal: number;
  /** By the low eight bits of a word, layer and sign: 1 / positions per cell, signed unit, and the positions that are accepted at once. */
  readonly #perCell = new Float64Array(2 * LAYERS);
  readonly #unit = new Float64Array(2 * LAYERS);
  readonly #quick = new Int32Array(2 * LAYERS);
  /** Positions that stand for a cell; the few above them for none. */
  readonly #used = new Int32Array(2 * LAYERS);
  #later = new Int32Array(0);

  /**
   * @param deviation standard deviation in cells, 2^18..2^19: a cell is 2^-18 to 2^-19 of it, and values up to 16 deviations are exact in float32
   * @param spacing width of a cell, a power of two: the values are odd multiples of half of it
   */
  constructor(deviation: number, spacing = 1) {
    assert(
      deviation >= MIN_DEVIATION_CELLS && deviation <= MAX_DEVIATION_CELLS,
      `deviation of ${deviation} cells is not in 2^18..2^19`,
    );
    this.#s = deviation;
    this.#reciprocal = 1 / deviation;
    const { width, inner, bottom, height } = zigguratTables(deviation);
    this.#bottom = Float64Array.from(bottom);
    this.#height = Float64Array.from(height);
    this.#tailStart = inner[0]!;
    width.forEach((cells, layer) => {
      const positionsPerCell = Math.floor(POSITIONS / cells);
      for (const sign of [0, 1]) {
        this.#perCell[2 * layer + sign] = 1 / positionsPerCell;
        this.#unit[2 * layer + sign] = sign === 0 ? spacing : -spacing;
        this.#used[2 * layer + sign] = positionsPerCell * cells;
        this.#quick[2 * layer + sign] = positionsPerCell * inner[layer]!;
      }
    });
  }

  /** Value i comes from word i of `samples` and, for about one in twenty, from words of `spill`. */
  fill(out: Float32Array, samples: Keystream, spill: Keystream): void {
    for (let at = 0; at < out.length; ) {
      const words = samples.words(out.length - at);
      if (this.#later.length < words.length) this.#later = new Int32Array(words.length);
      const part = out.subarray(at, at + words.length);
      const pending = quickPass(part, words, this.#perCell, this.#unit, this.#quick, this.#later);
      for (let p = 0; p < pending; p++) {
        const i = this.#later[p]!;
        part[i] = this.#decide(words[i]!, spill);
      }
      at += words.length;
    }
  }

  /** One value, beginning with this word. */
  #decide(first: number, spill: Keystream): number {
    const [perCell, quick] = [this.#perCell, this.#quick];
    for (let word = first; ; word = spill.word()) {
      const row = word & (2 * LAYERS - 1);
      let position = word >>> 8;
      // Positions left over when 2^24 is divided among the cells are drawn again for the same layer: layers are equally likely.
      while (position >= this.#used[row]!) position = spill.word() >>> 8;
      const cell = Math.floor((position + 0.5) * perCell[row]!);
      if (position < quick[row]!) return (cell + 0.5) * this.#unit[row]!;
      if (row > 1) {
        if (this.#under(cell, row >>> 1, spill)) return (cell + 0.5) * this.#unit[row]!;
      } else {
        const tail = this.#tail(spill);
        if (tail !== undefined) return (tail + 0.5) * this.#unit[row]!;
      }
    }
  }

  /** bottom + unit x height < cell mean, with the rest of the uniform drawn only where its first 32 bits leave it open. */
  #under(cell: number, layer: number, spill: Keystream): boolean {
    const x = (cell + 0.5) * this.#reciprocal;
    const first = spill.word() >>> 0;
    const gap = this.#bottom[layer]! + first * 2 ** -32 * this.#height[layer]! - Math.exp(-0.5 * x * x);
    if (gap < -(2 ** -30)) return true;
    if (gap > 2 ** -30) return false;
    return this.#bottom[layer]! + spill.unitFrom(first) * this.#height[layer]! < cellMean(cell, this.#s);
  }

  /** A cell of the tail with probability proportional to its mean, or nothing. */
  #tail(spill: Keystream): number | undefined {
    let stair = 0;
    let bits = spill.word();
    while (bits === 0) {
      stair += 32;
      bits = spill.word();
    }
    stair += Math.clz32(bits);
    const cell = this.#tailStart + stair * TAIL_CELLS + (spill.word() >>> 15);
    const envelope = this.#height[0]! * 2 ** -stair;
    return spill.unit() * envelope < cellMean(cell, this.#s) ? cell : undefined;
  }
}

/**
 * Writes a value for every word and lists the indices of those that were not accepted at once. Outside the class and over plain typed
 * arrays because this loop is the price of noise. (position + 1/2) / positionsPerCell stays 2^-10 away from a whole number, so the floor is exact.
 */
function quickPass(
  out: Float32Array,
  words: Int32Array,
  perCell: Float64Array,
  unit: Float64Array,
  quick: Int32Array,
  later: Int32Array,
): number {
  let pending = 0;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const row = word & 255;
    const position = word >>> 8;
    out[i] = (Math.floor((position + 0.5) * perCell[row]!) + 0.5) * unit[row]!;
    if (position >= quick[row]!) {
      later[pending] = i;
      pending++;
    }
  }
  return pending;
}
