/** What identifies a record of a file: a column of its own, or the place where it stands. */
import { CLI } from './errors.ts';

/**
 * @param rows of a parsed table, the header first  @param idColumn none for `prefix-row`, counting from 2 below the header
 * @returns one id per record, unique in the file  @throws LETHE-5013 naming the row, never the id
 */
export function recordIds(
  rows: readonly (readonly string[])[],
  prefix: string,
  idColumn: string | undefined,
): string[] {
  const [header, ...records] = rows;
  if (idColumn === undefined) return records.map((_, i) => `${prefix}-${i + 2}`);
  const at = header?.indexOf(idColumn) ?? -1;
  if (at < 0) throw CLI.WRONG_USAGE(`row 1: the header has no column ${idColumn}`);
  const seen = new Map<string, number>();
  return records.map((cells, i) => {
    const id = cells[at]!;
    const row = i + 2;
    if (id === '') throw CLI.WRONG_USAGE(`row ${row}: the record id is empty`);
    const before = seen.get(id);
    if (before !== undefined) throw CLI.WRONG_USAGE(`row ${row}: it has the record id of row ${before}`);
    seen.set(id, row);
    return id;
  });
}

const quoted = (cell: string): string => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);

/** The table as CSV without a column that its specification does not know. Rows keep their numbers. */
export function withoutColumn(rows: readonly (readonly string[])[], column: string): string {
  const at = rows[0]?.indexOf(column) ?? -1;
  return rows
    .map(
      (cells) =>
        `${cells
          .filter((_, i) => i !== at)
          .map(quoted)
          .join(',')}\n`,
    )
    .join('');
}
