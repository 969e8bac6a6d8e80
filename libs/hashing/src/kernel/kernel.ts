/**
 * The analytic head's inner loops in WebAssembly SIMD (source: test/tools/head-kernel/wat.ts), with typed arrays outside. One instance a thread; its memory
 * grows to the largest call and is cleared of everything that was written into it before a call returns, so that no feature or
 * sum of an erased person stays behind in it.
 */
import { assert, fromBase64 } from '@lethe/std';
import { MODULE_BASE64 } from './module.ts';

/** What is used of the global; the library of types that declares it is that of browsers. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  pack(rows: number, width: number, panels: number, pairs: number, out: number): void;
  anyHigh(from: number, count: number): number;
  products(
    a: number,
    aPanels: number,
    b: number,
    bPanels: number,
    pairs: number,
    out: number,
    stride: number,
    sign: number,
    lower: number,
  ): void;
  tile(x: number, y: number, length: number, out: number): void;
  tiles(xs: number, xPanels: number, ys: number, yPanels: number, length: number, out: number): void;
  column(m: number, j: number, dim: number): void;
  substitute(m: number, dim: number, w: number, panels: number): void;
  features(x: number, table: number, units: number, scale: number, out: number): void;
}

const PAGE_BYTES = 65_536;
let instance: Exports | undefined;

function kernel(): Exports {
  if (instance === undefined) {
    const module = new WebAssembly.Module(fromBase64(MODULE_BASE64));
    instance = new WebAssembly.Instance(module).exports as Exports;
  }
  return instance;
}

/** Room for regions of the given bytes, each at a multiple of 64; `use` gets their addresses, and what they held is cleared after it. */
function withRegions<T>(sizes: readonly number[], use: (k: Exports, ...at: number[]) => T): T {
  const k = kernel();
  let end = 0;
  const at = sizes.map((size) => {
    const start = end;
    // Loads of whole vectors may look up to 16 bytes past the last row of a region.
    end += (size + 79) & -64;
    return start;
  });
  const missing = Math.ceil((end - k.memory.buffer.byteLength) / PAGE_BYTES);
  if (missing > 0) k.memory.grow(missing);
  try {
    return use(k, ...at);
  } finally {
    new Uint8Array(k.memory.buffer, 0, end).fill(0);
  }
}

/** Items per block: 512 * 127² stays far below 2^31, and a block of two panels below the first-level cache. */
const BLOCK = 512;

/**
 * gram += sign * sum f fᵀ (lower triangle), cross += sign * sum f bᵀ, both in place and exact.
 * @param features [n, dim] in 0..127  @param targets [n, codeBits] of ±1  @param gram [dim, dim]  @param cross [dim, codeBits]
 * @returns false, with nothing added, if a feature is above 127
 */
export function addProducts(
  { gram, cross }: { gram: Float64Array; cross: Float64Array },
  features: Uint8Array,
  targets: Int8Array,
  { dim, codeBits, sign }: { dim: number; codeBits: number; sign: 1 | -1 },
): boolean {
  const n = targets.length / codeBits;
  assert(features.length === n * dim && codeBits % 8 === 0 && dim % 4 === 0, 'shapes were not checked');
  const panels = Math.ceil(dim / 8);
  const stride = panels * 64;
  const rows = Math.min(BLOCK, n + (n & 1));
  const sizes = [
    rows * dim,
    rows * codeBits,
    panels * rows * 16,
    codeBits * rows * 2,
    panels * 8 * stride,
    dim * codeBits * 8 + 4 * codeBits * 8,
  ];
  return withRegions(
    sizes,
    (k, rowsAt = 0, targetsAt = 0, featurePairs = 0, targetPairs = 0, gramAt = 0, crossAt = 0) => {
      const bytes = new Uint8Array(k.memory.buffer);
      const signed = new Int8Array(k.memory.buffer);
      const reals = new Float64Array(k.memory.buffer);
      for (let start = 0; start < n; start += BLOCK) {
        const count = Math.min(BLOCK, n - start);
        bytes.set(features.subarray(start * dim, (start + count) * dim), rowsAt);
        bytes.fill(0, rowsAt + count * dim, rowsAt + rows * dim);
        if (k.anyHigh(rowsAt, Math.ceil((rows * dim) / 16)) !== 0) return false;
        const pairs = (count + 1) >> 1;
        signed.set(targets.subarray(start * codeBits, (start + count) * codeBits), targetsAt);
        signed.fill(0, targetsAt + count * codeBits, targetsAt + rows * codeBits);
        k.pack(rowsAt, dim, panels, pairs, featurePairs);
        k.pack(targetsAt, codeBits, codeBits / 8, pairs, targetPairs);
        k.products(featurePairs, panels, featurePairs, panels, pairs, gramAt, stride, sign, 1);
        k.products(targetPairs, codeBits / 8, featurePairs, panels, pairs, crossAt, codeBits * 8, sign, 0);
      }
      for (let i = 0; i < dim; i++) {
        const from = (gramAt + i * stride) / 8;
        for (let j = 0; j <= i; j++) gram[i * dim + j]! += reals[from + j]!;
      }
      for (let i = 0; i < dim * codeBits; i++) cross[i]! += reals[crossAt / 8 + i]!;
      return true;
    },
  );
}

/**
 * Solves (gram + lambda I) W = cross by Cholesky, in the order of sums that `solve.ts` states.
 * @returns W [dim, codeBits], or the row at which the factor fails
 */
export function solveRidge(
  { gram, cross }: { gram: Float64Array; cross: Float64Array },
  lambda: number,
  { dim, codeBits }: { dim: number; codeBits: number },
): Float64Array | number {
  return withRegions([dim * dim * 8, dim * codeBits * 8, 128], (k, mAt = 0, wAt = 0, tileAt = 0) => {
    const m = new Float64Array(k.memory.buffer, mAt, dim * dim);
    const w = new Float64Array(k.memory.buffer, wAt, dim * codeBits);
    const sums = new Float64Array(k.memory.buffer, tileAt, 16);
    for (let i = 0; i < dim; i++) {
      const panel = (i >> 2) * dim * 4 + (i & 3);
      for (let t = 0; t <= i; t++) m[panel + 4 * t] = gram[i * dim + t]!;
      m[panel + 4 * i]! += lambda;
    }
    for (let j = 0; j < dim; j += 4) {
      const panelAt = mAt + j * dim * 8;
      k.tile(panelAt, panelAt, j, tileAt);
      const top = j * dim + 4 * j;
      for (let r = 0; r < 4; r++) {
        for (let c = 0; c <= r; c++) {
          let value = m[top + 4 * c + r]! - sums[4 * c + r]!;
          for (let t = 0; t < c; t++) value -= m[top + 4 * t + r]! * m[top + 4 * t + c]!;
          if (r > c) m[top + 4 * c + r] = value / m[top + 5 * c]!;
          else if (value > 0) m[top + 5 * c] = Math.sqrt(value);
          else return j + c;
        }
      }
      k.column(mAt, j, dim);
    }
    const index = (i: number, bit: number) => (bit >> 3) * dim * 8 + i * 8 + (bit & 7);
    for (let i = 0; i < dim; i++) {
      for (let bit = 0; bit < codeBits; bit++) w[index(i, bit)] = cross[i * codeBits + bit]!;
    }
    k.substitute(mAt, dim, wAt, codeBits / 8);
    const weights = new Float64Array(dim * codeBits);
    for (let i = 0; i < dim; i++) {
      for (let bit = 0; bit < codeBits; bit++) weights[i * codeBits + bit] = w[index(i, bit)]!;
    }
    return weights;
  });
}

const ENCODE_ROWS = 64;

/** Bits [Wᵀ f > 0] of every row. @param features [n, dim]  @param weights [dim, codeBits]  @returns [n, codeBits / 8] */
export function encodeRows(
  features: Uint8Array,
  weights: Float64Array,
  { dim, codeBits }: { dim: number; codeBits: number },
): Uint8Array {
  const n = features.length / dim;
  const codes = new Uint8Array((n * codeBits) / 8);
  const sizes = [dim * codeBits * 8, dim * ENCODE_ROWS * 8, ENCODE_ROWS * codeBits * 8];
  return withRegions(sizes, (k, weightsAt = 0, rowsAt = 0, outAt = 0) => {
    const w = new Float64Array(k.memory.buffer, weightsAt, dim * codeBits);
    const rows = new Float64Array(k.memory.buffer, rowsAt, dim * ENCODE_ROWS);
    const out = new Float64Array(k.memory.buffer, outAt, ENCODE_ROWS * codeBits);
    for (let bit = 0; bit < codeBits; bit++) {
      const panel = (bit >> 2) * dim * 4 + (bit & 3);
      for (let i = 0; i < dim; i++) w[panel + 4 * i] = weights[i * codeBits + bit]!;
    }
    for (let start = 0; start < n; start += ENCODE_ROWS) {
      const count = Math.min(ENCODE_ROWS, n - start);
      for (let row = 0; row < count; row++) {
        const panel = (row >> 2) * dim * 4 + (row & 3);
        const from = (start + row) * dim;
        for (let i = 0; i < dim; i++) rows[panel + 4 * i] = features[from + i]!;
      }
      k.tiles(weightsAt, codeBits / 4, rowsAt, Math.ceil(count / 4), dim, outAt);
      for (let row = 0; row < count; row++) {
        const panel = (row >> 2) * codeBits * 4 + (row & 3) * 4;
        for (let bit = 0; bit < codeBits; bit++) {
          if (out[panel + (bit >> 2) * 16 + (bit & 3)]! > 0) {
            codes[((start + row) * codeBits + bit) >> 3]! |= 1 << (bit & 7);
          }
        }
      }
    }
    return codes;
  });
}

const LANES = 16;
const TABLE_INTS = 33;

/** A projection as the kernel reads it: per unit 16 columns to add, 16 to subtract (byte offsets), the threshold. */
export function projectionTable(plus: Uint16Array, minus: Uint16Array, thresholds: Int32Array): Int32Array {
  const table = new Int32Array(thresholds.length * TABLE_INTS);
  thresholds.forEach((threshold, unit) => {
    for (let p = 0; p < 16; p++) {
      table[unit * TABLE_INTS + p] = plus[unit * 16 + p]! * 2 * LANES;
      table[unit * TABLE_INTS + 16 + p] = minus[unit * 16 + p]! * 2 * LANES;
    }
    table[unit * TABLE_INTS + 32] = threshold;
  });
  return table;
}

/** `features.ts`: units of every row, then the constant. @param inputs [n, width]  @returns [n, units + 1] */
export function projectRows(
  inputs: Uint8Array,
  width: number,
  table: Int32Array,
  { scale, constant, bias }: { scale: number; constant: number; bias: number },
): Uint8Array {
  const n = inputs.length / width;
  const units = table.length / TABLE_INTS;
  const dim = units + 1;
  const features = new Uint8Array(n * dim);
  const sizes = [(width + 1) * 2 * LANES, table.byteLength, units * LANES];
  return withRegions(sizes, (k, xAt = 0, tableAt = 0, outAt = 0) => {
    const x = new Int16Array(k.memory.buffer, xAt, (width + 1) * LANES);
    const out = new Uint8Array(k.memory.buffer, outAt, units * LANES);
    new Int32Array(k.memory.buffer, tableAt, table.length).set(table);
    x.fill(constant, width * LANES);
    for (let start = 0; start < n; start += LANES) {
      const count = Math.min(LANES, n - start);
      for (let lane = 0; lane < count; lane++) {
        const from = (start + lane) * width;
        for (let column = 0; column < width; column++) x[column * LANES + lane] = inputs[from + column]!;
      }
      k.features(xAt, tableAt, units, scale, outAt);
      for (let lane = 0; lane < count; lane++) {
        const to = (start + lane) * dim;
        for (let unit = 0; unit < units; unit++) features[to + unit] = out[unit * LANES + lane]!;
        features[to + units] = bias;
      }
    }
    return features;
  });
}
