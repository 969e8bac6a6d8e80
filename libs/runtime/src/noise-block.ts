import type { NoiseGrid } from '@lethe/privacy';

/** What the thread is started with. */
export interface NoiseThreadData {
  readonly key: Uint8Array;
  readonly grid: NoiseGrid;
  readonly lengths: readonly number[];
  readonly blocks: number;
}

/** The noise of one step on its way between the threads; the buffer has one owner at a time. */
export interface NoiseBlock {
  readonly step: number;
  readonly buffer: ArrayBuffer;
}

/** One float32 view per parameter over a block. */
export function blockViews(buffer: ArrayBuffer, lengths: readonly number[]): Float32Array<ArrayBuffer>[] {
  let at = 0;
  return lengths.map((length) => {
    const view = new Float32Array(buffer, at, length);
    at += 4 * length;
    return view;
  });
}
