/** The two parties of the federation, each a process with a folder of its own. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { byteMatrix, splitColumns, takeColumns, vectorWidth } from '@lethe/datasets';
import { writeRowsFile } from '@lethe/party';
import { type Running, startScript } from './processes.ts';
import { NAME, readings, recordIdOf, spec } from './sensors.ts';

export const PARTIES = ['left', 'right'] as const;

/** Writes what each party holds: its own columns of every reading, by record id. */
export function writeParties(folder: string): void {
  const width = vectorWidth(spec);
  const matrix = byteMatrix(spec, readings);
  for (const [p, columns] of splitColumns(spec, PARTIES.length).entries()) {
    const directory = join(folder, PARTIES[p]!);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const own = takeColumns(matrix, width, columns);
    const rows = new Map(
      readings.map((_, row) => [
        recordIdOf(row),
        own.subarray(row * columns.length, (row + 1) * columns.length),
      ]),
    );
    writeRowsFile(join(directory, 'party.rows'), { element: 'uint8', columns: columns.length, rows });
  }
}

/** Starts both where the folder is now. @param credentialsFile holds the party's token among others */
export function startParties(
  folder: string,
  where: { readonly address: string; readonly credentialsFile: string },
): Running[] {
  return PARTIES.map((party) => {
    const config = join(folder, party, 'party.json');
    writeFileSync(
      config,
      JSON.stringify({
        address: where.address,
        tokenFile: where.credentialsFile,
        federation: NAME.federation,
        party,
        rowsFile: 'party.rows',
        keyFile: 'party.key',
      }),
      { mode: 0o600 },
    );
    return startScript('libs/party/src/main.ts', ['--config', config]);
  });
}
