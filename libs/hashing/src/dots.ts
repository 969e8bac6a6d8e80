/**
 * Eight dot products at once (what fits the 16 float registers of x64): the inner loop of the Gram sums and of the Cholesky
 * factor. Each is summed in index order, so the result is the same on every IEEE 754 machine (ECMAScript forbids fused
 * multiply-add).
 *
 *     out[4r + c] = sum over t < length of a[aAt + r * aStride + t] * b[bAt + c * bStride + t]      r < 2, c < 4
 */
export function dots2x4(
  a: Float64Array,
  aAt: number,
  aStride: number,
  b: Float64Array,
  bAt: number,
  bStride: number,
  length: number,
  out: Float64Array,
): void {
  let s00 = 0;
  let s01 = 0;
  let s02 = 0;
  let s03 = 0;
  let s10 = 0;
  let s11 = 0;
  let s12 = 0;
  let s13 = 0;
  const a1 = aAt + aStride;
  const b1 = bAt + bStride;
  const b2 = b1 + bStride;
  const b3 = b2 + bStride;
  for (let t = 0; t < length; t++) {
    const x = a[aAt + t]!;
    const y = a[a1 + t]!;
    const c0 = b[bAt + t]!;
    const c1 = b[b1 + t]!;
    const c2 = b[b2 + t]!;
    const c3 = b[b3 + t]!;
    s00 += x * c0;
    s01 += x * c1;
    s02 += x * c2;
    s03 += x * c3;
    s10 += y * c0;
    s11 += y * c1;
    s12 += y * c2;
    s13 += y * c3;
  }
  out[0] = s00;
  out[1] = s01;
  out[2] = s02;
  out[3] = s03;
  out[4] = s10;
  out[5] = s11;
  out[6] = s12;
  out[7] = s13;
}
