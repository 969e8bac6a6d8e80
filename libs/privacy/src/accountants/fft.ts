/**
 * Fourier transform of real arrays whose length n is a power of two: radix 4, in place, without a permutation.
 *
 * The transform is read as the evaluation of a polynomial in the tree of rings x^2m - c^2 = (x^m - c)(x^m + c): every block has one twiddle, the inner loop runs
 * over contiguous memory, and block b has the twiddle exp(-i pi v(b)) at every level, v(b) being the bits of b mirrored behind the binary point
 * (van der Corput). One table therefore serves all lengths, and frequencies come out in mirrored order, which a product of spectra does not
 * mind. Componentwise error of either direction: at most `transformError(n)` times the sum of the moduli that go in.
 */

/** Frequencies 0..n/2 of a real array of length n, slot p holding frequency mirror(p); slot 0 holds frequency 0 (re) and n/2 (im). */
export interface Spectrum {
  readonly re: Float64Array;
  readonly im: Float64Array;
}

const UNIT_ROUND_OFF = 2 ** -53;

/**
 * Two levels take two additions (1 unit each) and one product (2.3 units) by a twiddle that is off by at most 5.5 (two tabled ones of 1.6, one product): less than 5 units a
 * level, to first order in the unit round-off; the unpacking counts as one level more.
 */
export const transformError = (n: number): number => 5 * (Math.log2(n) + 1) * UNIT_ROUND_OFF;

const DIRECT = 1024;
let cosines = new Float64Array(0);
let sines = new Float64Array(0);

/** Grows the table to at least `size` twiddles; one product of two directly computed values each. */
function twiddles(size: number): void {
  if (cosines.length >= size) return;
  const count = Math.max(size, DIRECT);
  const cos = new Float64Array(count);
  const sin = new Float64Array(count);
  for (let p = 0; p < DIRECT; p++) {
    cos[p] = Math.cos(Math.PI * mirrored(p));
    sin[p] = -Math.sin(Math.PI * mirrored(p));
  }
  for (let high = 1; high < count / DIRECT; high++) {
    const angle = (Math.PI * mirrored(high)) / DIRECT;
    const c = Math.cos(angle);
    const s = -Math.sin(angle);
    for (let low = 0, p = high * DIRECT; low < DIRECT; low++, p++) {
      cos[p] = cos[low]! * c - sin[low]! * s;
      sin[p] = cos[low]! * s + sin[low]! * c;
    }
  }
  cosines = cos;
  sines = sin;
}

/** The bits of p mirrored behind the binary point: 1 -> 0.5, 2 -> 0.25, 3 -> 0.75. */
function mirrored(p: number): number {
  let value = 0;
  for (let bit = 0.5, rest = p; rest > 0; rest >>= 1, bit /= 2) if (rest & 1) value += bit;
  return value;
}

/** Spectrum of a real array; its length is a power of two, at least 4. */
export function forwardReal(values: Float64Array): Spectrum {
  const half = values.length / 2;
  twiddles(half);
  const re = new Float64Array(half);
  const im = new Float64Array(half);
  for (let j = 0; j < half; j++) {
    re[j] = values[2 * j]!;
    im[j] = values[2 * j + 1]!;
  }
  forward(re, im);
  const total = re[0]! + im[0]!;
  im[0] = re[0]! - im[0]!;
  re[0] = total;
  if (half > 1) im[1] = -im[1]!;
  // The slots of k and n/2 - k lie mirrored within [size, 2 size).
  for (let size = 2; size < half; size *= 2) {
    for (let p = size, m = 2 * size - 1; p < m; p++, m--) {
      // Even and odd samples' spectra, from Z(k) and Z(n/2 - k).
      const er = (re[p]! + re[m]!) / 2;
      const ei = (im[p]! - im[m]!) / 2;
      const or = (im[p]! + im[m]!) / 2;
      const oi = (re[m]! - re[p]!) / 2;
      const tr = or * cosines[p]! - oi * sines[p]!;
      const ti = or * sines[p]! + oi * cosines[p]!;
      re[p] = er + tr;
      im[p] = ei + ti;
      re[m] = er - tr;
      im[m] = ti - ei;
    }
  }
  return { re, im };
}

/**
 * Adds the transform of the few values around index 0, as the sum that it is: `above[j]` at index j, `below[j]` at n - j (`below[0]` is not used).
 * Error: 4 (j + 1) units of each value, j - 1 products and a few roundings.
 */
export function addCore({ re, im }: Spectrum, above: Float64Array, below: Float64Array): void {
  for (let j = 0; j < above.length; j++) {
    const both = j === 0 ? above[0]! : above[j]! + below[j]!;
    re[0]! += both;
    im[0]! += j % 2 === 0 ? both : -both;
  }
  for (let p = 1; p < re.length; p++) {
    const c = cosines[p]!;
    const s = sines[p]!;
    let [r, i] = [1, 0];
    let [sumRe, sumIm] = [above[0]!, 0];
    for (let j = 1; j < above.length; j++) {
      const next = r * c - i * s;
      i = r * s + i * c;
      r = next;
      sumRe += (above[j]! + below[j]!) * r;
      sumIm += (above[j]! - below[j]!) * i;
    }
    re[p]! += sumRe;
    im[p]! += sumIm;
  }
}

/** The real array of a spectrum, scaled by 1/n. Overwrites the spectrum. */
export function inverseReal({ re, im }: Spectrum): Float64Array {
  const half = re.length;
  twiddles(half);
  const first = (re[0]! + im[0]!) / 2;
  im[0] = (re[0]! - im[0]!) / 2;
  re[0] = first;
  if (half > 1) im[1] = -im[1]!;
  // The slots of k and n/2 - k lie mirrored within [size, 2 size).
  for (let size = 2; size < half; size *= 2) {
    for (let p = size, m = 2 * size - 1; p < m; p++, m--) {
      const er = (re[p]! + re[m]!) / 2;
      const ei = (im[p]! - im[m]!) / 2;
      const tr = (re[p]! - re[m]!) / 2;
      const ti = (im[p]! + im[m]!) / 2;
      const or = tr * cosines[p]! + ti * sines[p]!;
      const oi = ti * cosines[p]! - tr * sines[p]!;
      re[p] = er - oi;
      im[p] = ei + or;
      re[m] = er + oi;
      im[m] = or - ei;
    }
  }
  inverse(re, im);
  const values = new Float64Array(2 * half);
  const scale = 1 / half;
  for (let j = 0; j < half; j++) {
    values[2 * j] = re[j]! * scale;
    values[2 * j + 1] = im[j]! * scale;
  }
  return values;
}

/** In natural order in, in mirrored order out. */
function forward(re: Float64Array, im: Float64Array): void {
  const n = re.length;
  let blocks = 1;
  let m = n / 4;
  if (Math.log2(n) % 2 === 1) {
    halves(re, im);
    blocks = 2;
    m = n / 8;
  }
  for (; m >= 1; m /= 4, blocks *= 4) {
    for (let b = 0, start = 0; b < blocks; b++, start += 4 * m) {
      const r1 = cosines[2 * b]!;
      const i1 = sines[2 * b]!;
      const r2 = cosines[b]!;
      const i2 = sines[b]!;
      const r3 = r1 * r2 - i1 * i2;
      const i3 = r1 * i2 + i1 * r2;
      for (let j = start, end = start + m; j < end; j++) {
        const a = j + m;
        const c = a + m;
        const d = c + m;
        const ar = re[a]! * r1 - im[a]! * i1;
        const ai = re[a]! * i1 + im[a]! * r1;
        const cr = re[c]! * r2 - im[c]! * i2;
        const ci = re[c]! * i2 + im[c]! * r2;
        const dr = re[d]! * r3 - im[d]! * i3;
        const di = re[d]! * i3 + im[d]! * r3;
        const ur = re[j]! + cr;
        const ui = im[j]! + ci;
        const vr = re[j]! - cr;
        const vi = im[j]! - ci;
        const sr = ar + dr;
        const si = ai + di;
        const tr = ar - dr;
        const ti = ai - di;
        re[j] = ur + sr;
        im[j] = ui + si;
        re[a] = ur - sr;
        im[a] = ui - si;
        re[c] = vr + ti;
        im[c] = vi - tr;
        re[d] = vr - ti;
        im[d] = vi + tr;
      }
    }
  }
}

/** In mirrored order in, in natural order out; not scaled. */
function inverse(re: Float64Array, im: Float64Array): void {
  const n = re.length;
  const odd = Math.log2(n) % 2 === 1;
  let blocks = n / 4;
  for (let m = 1; m <= (odd ? n / 8 : n / 4); m *= 4, blocks /= 4) {
    for (let b = 0, start = 0; b < blocks; b++, start += 4 * m) {
      const r1 = cosines[2 * b]!;
      const i1 = sines[2 * b]!;
      const r2 = cosines[b]!;
      const i2 = sines[b]!;
      const r3 = r1 * r2 - i1 * i2;
      const i3 = r1 * i2 + i1 * r2;
      for (let j = start, end = start + m; j < end; j++) {
        const a = j + m;
        const c = a + m;
        const d = c + m;
        const ur = re[j]! + re[a]!;
        const ui = im[j]! + im[a]!;
        const sr = re[j]! - re[a]!;
        const si = im[j]! - im[a]!;
        const vr = re[c]! + re[d]!;
        const vi = im[c]! + im[d]!;
        const tr = im[d]! - im[c]!;
        const ti = re[c]! - re[d]!;
        const ar = sr + tr;
        const ai = si + ti;
        const cr = ur - vr;
        const ci = ui - vi;
        const dr = sr - tr;
        const di = si - ti;
        re[j] = ur + vr;
        im[j] = ui + vi;
        re[a] = ar * r1 + ai * i1;
        im[a] = ai * r1 - ar * i1;
        re[c] = cr * r2 + ci * i2;
        im[c] = ci * r2 - cr * i2;
        re[d] = dr * r3 + di * i3;
        im[d] = di * r3 - dr * i3;
      }
    }
  }
  if (odd) halves(re, im);
}

/** The one pass of radix 2 where log2(n) is odd; its twiddle is 1, so it is its own inverse up to scale. */
function halves(re: Float64Array, im: Float64Array): void {
  const m = re.length / 2;
  for (let j = 0; j < m; j++) {
    const a = j + m;
    const r = re[a]!;
    const i = im[a]!;
    re[a] = re[j]! - r;
    im[a] = im[j]! - i;
    re[j]! += r;
    im[j]! += i;
  }
}
