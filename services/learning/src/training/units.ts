/** The units of a private run: each subject with all its rows, or each record alone. */
import type { PrivacyUnit, UnitRows } from '@lethe/privacy';
import type { Preparation } from './preparation.ts';
import type { People } from './rows.ts';

/** @param columns of the matrix before it is prepared */
export function unitRowsOf(
  { rows, members }: People,
  unit: PrivacyUnit,
  columns: number,
  prepare: Preparation['prepare'],
): UnitRows[] {
  const prepared = prepare(rows.features);
  const count = rows.features.length / columns;
  const width = prepared.length / count;
  const units =
    unit === 'subject' ? members.map((member) => member.rows) : rows.recordIds.map((_, row) => [row]);
  return units.map((own) => {
    const features = new Float32Array(own.length * width);
    for (const [i, row] of own.entries())
      features.set(prepared.subarray(row * width, (row + 1) * width), i * width);
    return { features, labels: own.map((row) => Number(rows.labels[row])) };
  });
}
