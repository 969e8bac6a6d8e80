/**
 * Is a code more alone, or less, because its item was learned? Activation patterns of networks are nearly unique per training example (He, Lei and
 * Tao, "Neural networks behave as hash encoders", 2021); codes that are too long for their data are too, and that is a signal of membership.
 */
import { type DelongAuc, delongAuc, delongInterval } from '@lethe/statistics';
import { HASHING } from '../errors.ts';
import { distance } from '../hamming.ts';

/**
 * Distance of each code to its nearest neighbour among `items`.
 * @param own `true`: the codes are the items themselves, and a code is no neighbour of its own  @throws LETHE-3406 @throws LETHE-3410 nobody is left to be a neighbour
 */
export function nearestDistances(
  codes: Uint8Array,
  items: Uint8Array,
  codeBits: number,
  own: boolean,
): Float64Array {
  const bytes = codeBits / 8;
  const [count, held] = [codes.length / bytes, items.length / bytes];
  if (!Number.isInteger(count) || !Number.isInteger(held)) {
    throw HASHING.CODE_LENGTH_WRONG('the codes are not whole codes', { details: { codeBits } });
  }
  if (held < (own ? 2 : 1))
    throw HASHING.OPTION_INVALID('there is no item to be near to', { details: { held } });
  return Float64Array.from({ length: count }, (_, c) => {
    let nearest = codeBits;
    for (let i = 0; i < held && nearest > 0; i++) {
      if (own && i === c) continue;
      nearest = Math.min(nearest, distance(codes, c * bytes, items, i * bytes, bytes));
    }
    return nearest;
  });
}

export interface UniquenessSignal {
  /** How well "nearer to others" tells members from strangers: 0.5 says nothing. */
  readonly auc: number;
  /** 95 %, DeLong, over items. */
  readonly interval: readonly [number, number];
  /** Share of members that have another member's very code. */
  readonly redundancyMembers: number;
  /** Share of strangers that have a member's very code. */
  readonly redundancyStrangers: number;
  /** The interval leaves out 0.5. */
  readonly alarm: boolean;
}

/**
 * Members (learned and indexed) against strangers of the same population, each without itself among its neighbours: an attacker who
 * sees distances only. That a query for an indexed item finds its own code is not counted here; the index answers that by design.
 * @throws LETHE-1401 fewer than two members or strangers
 */
export function uniquenessSignal(
  members: Uint8Array,
  strangers: Uint8Array,
  codeBits: number,
): UniquenessSignal {
  const inside = nearestDistances(members, members, codeBits, true);
  const outside = nearestDistances(strangers, members, codeBits, false);
  const near = (distances: Float64Array): Float64Array => distances.map((d) => -d);
  const area: DelongAuc = delongAuc(near(inside), near(outside));
  const interval = delongInterval(area, 0.95);
  const equal = (distances: Float64Array): number =>
    distances.filter((d) => d === 0).length / distances.length;
  return {
    auc: area.auc,
    interval,
    redundancyMembers: equal(inside),
    redundancyStrangers: equal(outside),
    alarm: interval[0] > 0.5 || interval[1] < 0.5,
  };
}
