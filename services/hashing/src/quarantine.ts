/**
 * Items that are indexed and left out of answers: new ones whose code is too near to being another one, and hubs that a check has
 * flagged. Which they are is part of the sealed head, so that a version and its quarantine become a fact at once and every replica has both.
 *
 * The margin of an item is min |u_k| over the bits of its code, u = Wᵀf. Its threshold is an order statistic of the margins of older
 * items (the part's sample without retired ones), by the same version: of n of them the floor(share (n + 1))-th smallest. So an
 * honest new item, one that is drawn as the older ones were, is held with a probability of at most `share`, however margins are
 * distributed. Held items that nobody has decided about are among the older ones: without them the threshold would rise with every update. The threshold is one item's margin; it is used once, for the new items of its version, and kept nowhere.
 */
import { EVENT } from '@lethe/contracts';
import { effectId } from '@lethe/events';
import { codeMargins } from '@lethe/hashing';
import type { HashingContext } from './context.ts';
import { decodeBlock, type FeatureBlock, sliceBlock } from './domain/blocks.ts';
import type { Quarantined } from './domain/head.ts';
import { HASHING_SERVICE } from './errors.ts';
import type { Address } from './functions.ts';
import { type Base, breathe, type EmptyHead, type LearnedRecords } from './learn.ts';
import type { Learned } from './learned.ts';

const STEP_ROWS = 128;

/** New items with a margin below the threshold; none of a first version, which has no older items. @throws LETHE-4209, LETHE-26xx */
export async function lowMargins(
  { head, store }: Base,
  { head: next, added }: LearnedRecords,
  share: number,
): Promise<Quarantined[]> {
  if (share === 0) return [];
  const retired = new Set(head.quarantine.filter((item) => item.retired).map(({ position }) => position));
  const found: Quarantined[] = [];
  for (const [number, { sample }] of head.parts.entries()) {
    if (!sample.block) continue;
    const older = decodeBlock(await store.verified(sample.block.reference, sample.block.digest));
    const margins = await marginsOf(next, number, older);
    const threshold = thresholdOf(
      margins.filter((_, row) => !retired.has(older.positions[row]!)),
      share,
    );
    const { block } = added[number]!;
    const fresh = await marginsOf(next, number, block);
    fresh.forEach((margin, row) => {
      if (margin < threshold)
        found.push({ position: block.positions[row]!, reason: 'margin', retired: false });
    });
  }
  return found.sort((a, b) => a.position - b.position);
}

/** @param margins of older items  @returns -Infinity where they are too few for the share */
export function thresholdOf(margins: Float64Array, share: number): number {
  const rank = Math.floor(share * (margins.length + 1));
  return rank === 0 ? Number.NEGATIVE_INFINITY : margins.toSorted()[rank - 1]!;
}

async function marginsOf({ parts }: EmptyHead, number: number, block: FeatureBlock): Promise<Float64Array> {
  const margins = new Float64Array(block.positions.length);
  for (let at = 0; at < margins.length; at += STEP_ROWS) {
    const { features } = sliceBlock(block, at, Math.min(at + STEP_ROWS, margins.length));
    margins.set(codeMargins(parts[number]!.fn, features), at);
    await breathe();
  }
  return margins;
}

/**
 * Makes another quarantine a fact, as a state of the same version. To be called in the function's turn.
 * @param edit gives the quarantine that is to be, ascending by position, or undefined if nothing is to change
 * @throws LETHE-4203
 */
export async function editQuarantine(
  { functions }: HashingContext,
  address: Address,
  edit: (learned: Learned) => readonly Quarantined[] | undefined,
): Promise<void> {
  for (;;) {
    const before = await functions.load(address);
    const { current } = before;
    if (!current) {
      throw HASHING_SERVICE.NOT_SERVING('the function has no version yet', {
        details: { function: address.name },
      });
    }
    const learned = await functions.version(address, current);
    if (!learned) continue;
    const quarantine = edit(learned);
    if (quarantine === undefined) return;
    const edits = (current.edits ?? 0) + 1;
    const eventId = effectId(
      `${address.name}|${current.version}|edit ${edits}`,
      EVENT.hashFunctionPromoted.type,
    );
    const changed = await functions.change(address, before, eventId, async (_, base) => {
      const { head, index, store } = base!;
      const { statisticsMs, solveMs, reencoding } = current;
      const nothing = new Uint8Array(0);
      return {
        head: { ...head, quarantine },
        ...{ index, store, replaced: [] },
        promotion: {
          ...{ erasure: '', needles: undefined, proof: undefined, claims: [], statisticsMs, solveMs },
          ...{ oldCodesRootBefore: nothing, oldCodesRootAfter: nothing, reencoding, edits },
        },
      };
    });
    // Otherwise another process has changed the function meanwhile.
    if (changed) return;
  }
}

/** Of the items, and in all: the most hubs that wait for a decision. As many as one call can decide. */
const HUBS_SHARE = 0.01;
const HUBS_MAX = 10_000;

/**
 * Holds the hubs that a check has flagged, as far as they are there, nobody has decided about them, and there is room: honest items can be
 * hubs by the hundreds, for example those of a class that is new, and a quarantine must not silence them all.
 * @param flagged item ids, those first that shall be held first
 */
export function withHubs(
  { index, head: { quarantine }, quarantined }: Learned,
  flagged: readonly Uint8Array[],
): readonly Quarantined[] | undefined {
  const undecided = quarantine.filter(({ reason, retired }) => reason === 'hub' && !retired).length;
  const room = Math.max(0, Math.min(HUBS_MAX, Math.ceil(HUBS_SHARE * index.live)) - undecided);
  const fresh = flagged
    .map((itemId) => index.entry(itemId))
    .filter((entry) => entry.kind === 'live' && !quarantined.has(entry.index))
    .slice(0, room)
    .map(({ index: position }): Quarantined => ({ position, reason: 'hub', retired: false }));
  if (fresh.length === 0) return undefined;
  return [...quarantine, ...fresh].sort((a, b) => a.position - b.position);
}
