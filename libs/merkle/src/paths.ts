/**
 * Proofs of RFC 6962 over a tree that is known by the roots of its ranges only: where the hashes are kept, and how many of them, is
 * the tree's business.
 */
import { nodeHash } from './hash.ts';

/** Root over leaves [start, end), for the ranges that RFC 6962's recursion cuts. */
export type RangeRoot = (start: number, end: number) => Uint8Array;

/** Largest power of two below `count`. @param count at least 2 */
export function splitPoint(count: number): number {
  let split = 1;
  while (split * 2 < count) split *= 2;
  return split;
}

/** Siblings from the leaf upwards (RFC 6962 section 2.1.1). @param index below `size` */
export function inclusionPath(rangeRoot: RangeRoot, index: number, size: number): Uint8Array[] {
  const path: Uint8Array[] = [];
  let start = 0;
  let end = size;
  while (end - start > 1) {
    const middle = start + splitPoint(end - start);
    if (index < middle) {
      path.push(rangeRoot(middle, end));
      end = middle;
    } else {
      path.push(rangeRoot(start, middle));
      start = middle;
    }
  }
  return path.reverse();
}

/** Proof that the tree of `size` extends the tree of `oldSize` (RFC 6962 section 2.1.2). @param oldSize 0..size */
export function consistencyPath(rangeRoot: RangeRoot, oldSize: number, size: number): Uint8Array[] {
  const path: Uint8Array[] = [];
  let start = 0;
  let end = size;
  if (oldSize === 0) return path;
  while (end !== oldSize) {
    const middle = start + splitPoint(end - start);
    if (oldSize <= middle) {
      path.push(rangeRoot(middle, end));
      end = middle;
    } else {
      path.push(rangeRoot(start, middle));
      start = middle;
    }
  }
  if (start > 0) path.push(rangeRoot(start, end));
  return path.reverse();
}

/** Roots of the maximal subtrees that hold none of the leaves, left to right. @param indices ascending, below `size` */
export function untouchedRoots(rangeRoot: RangeRoot, size: number, indices: readonly number[]): Uint8Array[] {
  const out: Uint8Array[] = [];
  const walk = (start: number, end: number, from: number, to: number): void => {
    if (from === to) {
      out.push(rangeRoot(start, end));
      return;
    }
    if (end - start === 1) return;
    const middle = start + splitPoint(end - start);
    const cut = lowerBound(indices, middle, from, to);
    walk(start, middle, from, cut);
    walk(middle, end, cut, to);
  };
  if (size > 0) walk(0, size, 0, indices.length);
  return out;
}

/** First position in [from, to) whose value is not below `bound`; `to` if there is none. */
function lowerBound(ascending: readonly number[], bound: number, from: number, to: number): number {
  let low = from;
  let high = to;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ascending[middle]! < bound) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Two trees of one size, of which only the named leaves differ. */
export interface LeafChanges {
  readonly size: number;
  readonly rootBefore: Uint8Array;
  readonly rootAfter: Uint8Array;
  /** By ascending index. */
  readonly changed: readonly {
    readonly index: number;
    readonly before: Uint8Array;
    readonly after: Uint8Array;
  }[];
  /** Of `untouchedRoots`: both roots are built from them. */
  readonly untouched: readonly Uint8Array[];
}

/** True when both roots follow from the same untouched subtrees and the named leaves. Malformed input is false, never an exception. */
export function verifyLeafChanges({ size, rootBefore, rootAfter, changed, untouched }: LeafChanges): boolean {
  const isHash = (value: unknown): boolean => value instanceof Uint8Array && value.length === 32;
  if (!Number.isSafeInteger(size) || size < 1) return false;
  if (!Array.isArray(changed) || changed.length > size || !Array.isArray(untouched)) return false;
  if (![rootBefore, rootAfter, ...untouched].every(isHash)) return false;
  for (const [i, { index, before, after }] of changed.entries()) {
    const least = i === 0 ? 0 : changed[i - 1]!.index + 1;
    if (!Number.isInteger(index) || index < least || index >= size) return false;
    if (!isHash(before) || !isHash(after)) return false;
  }
  const indices = changed.map(({ index }) => index);
  let next = 0;
  const fold = (start: number, end: number, from: number, to: number): readonly Uint8Array[] | undefined => {
    if (from === to) {
      const root = untouched[next++];
      return root && [root, root];
    }
    if (end - start === 1) return [changed[from]!.before, changed[from]!.after];
    const middle = start + splitPoint(end - start);
    const cut = lowerBound(indices, middle, from, to);
    const left = fold(start, middle, from, cut);
    const right = left && fold(middle, end, cut, to);
    return right && [nodeHash(left[0]!, right[0]!), nodeHash(left[1]!, right[1]!)];
  };
  const roots = fold(0, size, 0, changed.length);
  if (roots === undefined || next !== untouched.length) return false;
  return Buffer.compare(roots[0]!, rootBefore) === 0 && Buffer.compare(roots[1]!, rootAfter) === 0;
}
