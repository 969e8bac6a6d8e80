/** Square pictures at a smaller side that divides theirs: each pixel the mean of a square of pixels. @param from [n, width, width]  @returns [n, to, to] */
export function shrinkPictures(from: Uint8Array, width: number, to: number): Uint8Array {
  const step = width / to;
  const count = from.length / width ** 2;
  const out = new Uint8Array(count * to * to);
  for (let picture = 0; picture < count; picture++) {
    for (let y = 0; y < to; y++) {
      for (let x = 0; x < to; x++) {
        let sum = 0;
        for (let dy = 0; dy < step; dy++) {
          for (let dx = 0; dx < step; dx++)
            sum += from[(picture * width + y * step + dy) * width + x * step + dx]!;
        }
        out[(picture * to + y) * to + x] = Math.round(sum / step ** 2);
      }
    }
  }
  return out;
}
