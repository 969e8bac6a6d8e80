/**
 * Which rows a step trains on, computed by every party on its own from what all of them hold: the job's key, the alignment list and the tombstones.
 *
 * The order of an epoch is by SHA-256(job key, epoch, row), a seeded shuffle in which removing a row leaves the order of all the others as it was. So the
 * batches before an erased row's first batch are the same with and without the row, and a run resumed from the checkpoint before that batch equals one
 * that never saw it. (Fisher-Yates over the survivors would reorder everything.)
 */
import { MerkleLog } from '@lethe/merkle';
import { compareBytes, hex, sha256, utf8 } from '@lethe/std';
import { VERTICAL } from './errors.ts';
import type { VerticalPlan } from './networks.ts';

/** A row's pseudonym: opaque, the same at every party, never a subject's id. */
export type RowPseudonym = string;

export interface Alignment {
  /** Rises with every change of list or tombstones. */
  readonly version: number;
  readonly rows: readonly RowPseudonym[];
  /** Rows that must not be used again; they may also have left `rows`. */
  readonly tombstones: ReadonlySet<RowPseudonym>;
}

/**
 * The batches of an epoch; rows that do not fill a last batch rest until the next epoch, whose order is another.
 * @param jobKey 32 bytes that parties and service share, one job only
 * @throws LETHE-3506 the survivors do not fill one batch
 */
export function epochBatches(
  alignment: Alignment,
  jobKey: Uint8Array,
  epoch: number,
  plan: Pick<VerticalPlan, 'batchRows'>,
): RowPseudonym[][] {
  const survivors = alignment.rows.filter((row) => !alignment.tombstones.has(row));
  const place = (row: RowPseudonym) =>
    sha256('lethe/vertical/order/v1\0', jobKey, utf8(`\0${epoch}\0${row}`));
  const ordered = survivors
    .map((row) => ({ row, at: place(row) }))
    .sort((a, b) => compareBytes(a.at, b.at))
    .map(({ row }) => row);
  const batches = Math.floor(ordered.length / plan.batchRows);
  if (batches === 0) {
    throw VERTICAL.BATCH_TOO_SMALL(`${ordered.length} rows do not fill a batch of ${plan.batchRows}`, {
      details: { rows: ordered.length, batchRows: plan.batchRows },
    });
  }
  return Array.from({ length: batches }, (_, i) =>
    ordered.slice(i * plan.batchRows, (i + 1) * plan.batchRows),
  );
}

/** Root of the RFC 6962 tree over the batch's pseudonyms in order, in hex: what START carries, and what proves which rows a step used. */
export function batchRoot(rows: readonly RowPseudonym[]): string {
  const tree = new MerkleLog();
  for (const row of rows) tree.append(utf8(row));
  return hex(tree.root());
}
