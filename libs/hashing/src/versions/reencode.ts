/**
 * Re-encoding stored items by a newer version in the background, as a pure state machine: what is done, what remains, what the result is called. The service reads
 * features block by block, encodes, writes, and reports; it may die at any point and be told anything twice.
 *
 *     blockReencoded   the result of a block at the revision it was read at. The same result again changes nothing; another one for a finished block is a conflict
 *     blockRewritten   an erasure or an append has changed a block. What was read before is out of date: its result is ignored, and if the block was not finished it stays due
 *     superseded       a newer version was promoted, or the plan was given up: finished blocks stay as they are, each code names its version
 *
 * A block that was finished before it was rewritten stays finished: an erasure only takes items out, and what is appended after the plan is encoded by its version or a later one.
 */
import { canonicalJson, hex, sha256, utf8 } from '@lethe/std';
import { HASHING } from '../errors.ts';

export interface ReencodePlan {
  /** Resource name or id of the function. */
  readonly function: string;
  /** Version that the codes shall have. */
  readonly toVersion: number;
  /** Items with a code of these versions are re-encoded; ascending. */
  readonly fromVersions: readonly number[];
  /** Revision of each feature block when the plan was made; position = block number. */
  readonly revisions: readonly number[];
}

export interface BlockResult {
  /** Revision that was read. */
  readonly revision: number;
  /** Items re-encoded, and how many of them got another code. */
  readonly items: number;
  readonly changed: number;
  /** SHA-256 over the new codes, hex: tells a redelivery from a contradiction. */
  readonly digest: string;
}

export type ReencodeStatus = 'running' | 'complete' | 'superseded';

export interface ReencodeState {
  readonly plan: ReencodePlan;
  /** Name of the ledger version that comes out: a function of the plan, so a redelivered plan starts nothing new. */
  readonly ledgerVersion: string;
  readonly status: ReencodeStatus;
  /** Present revision of each block. */
  readonly revisions: readonly number[];
  /** Result of each finished block, undefined while it is due. */
  readonly results: readonly (BlockResult | undefined)[];
}

export type ReencodeEvent =
  | {
      readonly kind: 'blockReencoded';
      readonly ledgerVersion: string;
      readonly block: number;
      readonly result: BlockResult;
    }
  | { readonly kind: 'blockRewritten'; readonly block: number; readonly revision: number }
  | { readonly kind: 'superseded' };

/** @throws LETHE-3410 */
export function startReencoding(plan: ReencodePlan): ReencodeState {
  const { toVersion, fromVersions, revisions } = plan;
  const ascending = fromVersions.every((version, i) => version < (fromVersions[i + 1] ?? toVersion));
  if (fromVersions.length === 0 || !ascending) {
    throw HASHING.OPTION_INVALID('a plan leads from older versions, ascending, to a newer one', {
      details: { toVersion },
    });
  }
  const { function: name } = plan;
  const canonical = canonicalJson({
    function: name,
    toVersion,
    fromVersions: [...fromVersions],
    revisions: [...revisions],
  });
  return {
    plan,
    ledgerVersion: `v${toVersion}-${hex(sha256('lethe/hashing/reencode/v1', utf8(canonical))).slice(0, 16)}`,
    status: revisions.length === 0 ? 'complete' : 'running',
    revisions,
    results: revisions.map(() => undefined),
  };
}

/**
 * The next state; the same object if the event says nothing new. Repeating facts never changes anything, and results of different blocks may come in any order.
 * @throws LETHE-3443 another plan's result, or a finished block with another result at the same revision
 */
export function stepReencoding(state: ReencodeState, event: ReencodeEvent): ReencodeState {
  if (event.kind === 'superseded')
    return state.status === 'running' ? { ...state, status: 'superseded' } : state;
  const { block } = event;
  // Blocks appended after the plan hold no older codes.
  if (event.kind === 'blockRewritten') {
    const known = state.revisions[block];
    return known === undefined || event.revision <= known
      ? state
      : { ...state, revisions: state.revisions.with(block, event.revision) };
  }
  const { result, ledgerVersion } = event;
  const conflict = (why: string) => HASHING.REENCODE_CONFLICT(why, { details: { block, ledgerVersion } });
  if (ledgerVersion !== state.ledgerVersion) throw conflict('the result belongs to another plan');
  if (state.revisions[block] === undefined) throw conflict('the plan has no such block');
  const before = state.results[block];
  if (before !== undefined) {
    if (before.revision === result.revision && before.digest !== result.digest)
      throw conflict('the block was re-encoded otherwise before');
    return state;
  }
  if (state.status !== 'running' || result.revision !== state.revisions[block]) return state;
  const results = state.results.with(block, result);
  return { ...state, results, status: results.includes(undefined) ? 'running' : 'complete' };
}

/** The first blocks that are due, with the revision to read; nothing once the plan is complete or superseded. */
export function dueBlocks(state: ReencodeState, limit: number): { block: number; revision: number }[] {
  if (state.status !== 'running') return [];
  const out: { block: number; revision: number }[] = [];
  for (let block = 0; block < state.results.length && out.length < limit; block++) {
    if (state.results[block] === undefined) out.push({ block, revision: state.revisions[block]! });
  }
  return out;
}

export interface ReencodeProgress {
  readonly blocks: number;
  readonly blocksDone: number;
  readonly items: number;
  readonly changed: number;
}

export function reencodeProgress({ results }: ReencodeState): ReencodeProgress {
  const done = results.filter((result) => result !== undefined);
  return {
    blocks: results.length,
    blocksDone: done.length,
    items: done.reduce((sum, { items }) => sum + items, 0),
    changed: done.reduce((sum, { changed }) => sum + changed, 0),
  };
}
