/** The units of a private run: each subject with all its rows, or each record alone. */
import { setImmediate } from 'node:timers/promises';
import type { PrivacyUnit, UnitRows } from '@lethe/privacy';
import type { Preparation } from './preparation.ts';
import type { People } from './rows.ts';

/** @param columns of the matrix before it is prepared */
export async function unitRowsOf(
  { rows, members }: People,
  unit: PrivacyUnit,
  columns: number,
  prepare: Preparation['prepare'],
): Promise<UnitRows[]> {
  const { prepared, width } = await preparedRows(rows.features, columns, prepare);
  const units =
    unit === 'subject' ? members.map((member) => member.rows) : rows.recordIds.map((_, row) => [row]);
  return units.map((own) => {
    const features = new Float32Array(own.length * width);
    for (const [i, row] of own.entries())
      features.set(prepared.subarray(row * width, (row + 1) * width), i * width);
    return { features, labels: own.map((row) => Number(rows.labels[row])) };
  });
}

/** Rows that are prepared before others get their turn. */
const ROWS_PER_TURN = 250;

/** Row by row the same as all at once: what prepares a row looks at no other. */
async function preparedRows(
  matrix: Float32Array,
  columns: number,
  prepare: Preparation['prepare'],
): Promise<{ readonly prepared: Float32Array; readonly width: number }> {
  const count = matrix.length / columns;
  const parts: Float32Array[] = [];
  for (let row = 0; row < count; row += ROWS_PER_TURN) {
    if (row > 0) await setImmediate();
    parts.push(prepare(matrix.subarray(row * columns, Math.min(count, row + ROWS_PER_TURN) * columns)));
  }
  const prepared = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    prepared.set(part, at);
    at += part.length;
  }
  return { prepared, width: prepared.length / count };
}
