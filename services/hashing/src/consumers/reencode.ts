/**
 * Moves stored codes to a version that was promoted with MODE_FAN_OUT, one feature block a step, each step a fact of its own.
 *
 * What is left to do is in the index: a code of an earlier version is due. So a step that a crash has cut off is done again from the
 * fact before it, one that has come to be is not repeated, and an erasure in between needs no bookkeeping: it takes items out, and with
 * its own fact the weights of the version before, which had seen the person; from then on the newest version answers for all codes,
 * and goes on moving those that are left. The fact of the last step names a state without the version before, and the keys of the
 * states that had it are destroyed.
 */
import { EVENT, type events, type hashing } from '@lethe/contracts';
import { effectId } from '@lethe/events';
import { encodeFeatures } from '@lethe/hashing';
import { assert } from '@lethe/std';
import type { HashingContext } from '../context.ts';
import { movingCodes } from '../domain/hash-function.ts';
import { countItems, type LiveCounts } from '../domain/head.ts';
import { type NewCode, openBlock } from '../erase.ts';
import { HASHING_SERVICE } from '../errors.ts';
import type { Address, Prepared } from '../functions.ts';
import { breathe } from '../learn.ts';
import type { Learned, LiveItem } from '../learned.ts';
import type { Attempt } from '../sealed-state.ts';

/** Rows that are encoded between two breaths. */
const STEP_ROWS = 256;

/** A re-encoding with what is left to do; undefined where that is nothing. */
export function reencodingLeft(
  reencoding: hashing.Reencoding,
  { codes }: LiveCounts,
): hashing.Reencoding | undefined {
  const left = codes
    .filter(({ version }) => version < reencoding.toVersion)
    .reduce((sum, entry) => sum + entry.codes, 0);
  return left === 0 ? undefined : { ...reencoding, codesLeft: BigInt(left) };
}

/** The next step, if one is due. Its fact asks for the one after it. */
export async function moveCodes(context: HashingContext, address: Address): Promise<void> {
  const { functions } = context;
  await functions.inTurn(address, async () => {
    const before = await functions.load(address);
    const { current } = before;
    const reencoding = movingCodes(before);
    if (!current || !reencoding) return;
    const eventId = effectId(
      `${address.name}|${current.version}|${reencoding.step + 1}`,
      EVENT.hashFunctionPromoted.type,
    );
    await functions.change(address, before, eventId, async (attempt, base) => {
      assert(base, 'codes of a version are moved');
      return await prepare(current, reencoding, attempt, base);
    });
  });
}

async function prepare(
  { statisticsMs, solveMs }: events.HashFunctionPromoted,
  reencoding: hashing.Reencoding,
  attempt: Attempt,
  base: Learned,
): Promise<Prepared> {
  const { head, index, store } = base;
  const { old, codes } = await dueCodes(base, reencoding.toVersion);
  const change = await index.reencode(codes, base.version);
  attempt.open = change;
  const renewed = old.map((item) => ({ ...item, fnVersion: base.version }));
  const live = countItems(countItems(head.live, old, -1), renewed, 1);
  const left = reencodingLeft({ ...reencoding, step: reencoding.step + 1 }, live);
  const { previous, ...rest } = head;
  return {
    head: { ...rest, live, index: change.manifest, ...(left && previous && { previous }) },
    index,
    store,
    replaced: change.superseded.map(({ reference }) => reference),
    promotion: {
      erasure: '',
      needles: undefined,
      proof: undefined,
      claims: [],
      statisticsMs,
      solveMs,
      oldCodesRootBefore: new Uint8Array(0),
      oldCodesRootAfter: new Uint8Array(0),
      // The last step is told from a learned version by its number; it has nothing left.
      reencoding: left ?? { ...reencoding, step: reencoding.step + 1, codesLeft: 0n },
    },
  };
}

/** The first block that has codes to move, with the codes that the newest version gives. */
async function dueCodes(
  base: Learned,
  toVersion: number,
): Promise<{ readonly old: readonly LiveItem[]; readonly codes: readonly NewCode[] }> {
  const codeBytes = base.codeBits / 8;
  for (const [part, { fn, blocks }] of base.head.parts.entries()) {
    const ref = blocks.find(({ first, last }) =>
      base.holdsVersion(part, first, last, (of) => of < toVersion),
    );
    if (!ref) continue;
    const { positions, features, featureDim } = await openBlock(base, ref);
    const old: LiveItem[] = [];
    const codes: NewCode[] = [];
    for (let at = 0; at < positions.length; at += STEP_ROWS) {
      const step = positions.subarray(at, at + STEP_ROWS);
      const encoded = encodeFeatures(fn, features.subarray(at * featureDim, (at + step.length) * featureDim));
      for (const [row, position] of step.entries()) {
        const item = base.liveAt(position);
        if (item.fnVersion >= toVersion) continue;
        old.push(item);
        codes.push({ itemId: item.itemId, code: encoded.slice(row * codeBytes, (row + 1) * codeBytes) });
      }
      await breathe();
    }
    return { old, codes };
  }
  throw HASHING_SERVICE.STATE_DAMAGED('no feature block has the codes that are to be moved');
}
