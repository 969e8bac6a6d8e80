/** Records under a root as rows of a matrix. */
import { setImmediate } from 'node:timers/promises';
import type { Lethe } from '@lethe/client';
import { type DatasetSpec, decodePayload, decodeSpec, floatMatrix, vectorWidth } from '@lethe/datasets';
import type { LabelledRows } from '@lethe/runtime';
import { datasetOfRoot, readRecords } from '@lethe/service';
import type { Member } from '@lethe/unlearning';
import { LEARNING } from '../errors.ts';

export interface RecordPayload {
  readonly recordId: string;
  readonly payload: Uint8Array;
}

export interface TrainingRows extends LabelledRows {
  /** Record ids in the order of the rows. */
  readonly recordIds: readonly string[];
}

/** Rows that are decoded before others get their turn. */
const ROWS_PER_TURN = 500;

export async function datasetSpec(peers: Lethe, root: string): Promise<DatasetSpec> {
  return decodeSpec((await peers.vault.getDataset({ name: datasetOfRoot(root) })).spec);
}

/** @throws LETHE-4307 a record has no label; LETHE-23xx a payload is not one of this dataset */
export async function rowsOf(spec: DatasetSpec, records: readonly RecordPayload[]): Promise<TrainingRows> {
  const width = vectorWidth(spec);
  const features = new Float32Array(records.length * width);
  const labels = new BigInt64Array(records.length);
  for (const [i, { payload }] of records.entries()) {
    if (i % ROWS_PER_TURN === 0) await setImmediate();
    const row = decodePayload(spec, payload);
    if (row.label === undefined) {
      throw LEARNING.RECORDS_UNFIT('a record has no label', { details: { records: records.length } });
    }
    features.set(floatMatrix(spec, [row]), i * width);
    labels[i] = BigInt(row.label);
  }
  return { features, labels, recordIds: records.map(({ recordId }) => recordId) };
}

export interface People {
  readonly rows: TrainingRows;
  /** Subjects with the numbers of their rows, in order of arrival. */
  readonly members: readonly Member[];
  /** Records that were left out. */
  readonly excludedRecords: number;
}

/** Everyone under the root but those to leave out. @throws LETHE-4307 nobody is left, or a record has no label */
export async function readPeople(
  peers: Lethe,
  root: string,
  spec: DatasetSpec,
  exclude: ReadonlySet<string>,
): Promise<People> {
  const all = await readRecords(peers, root);
  const records = all.filter(({ alias }) => !exclude.has(alias));
  if (records.length === 0) throw LEARNING.RECORDS_UNFIT('there is no record to train on');
  const rowsOfAlias = new Map<string, number[]>();
  for (const [row, { alias }] of records.entries()) {
    const rows = rowsOfAlias.get(alias);
    if (rows) rows.push(row);
    else rowsOfAlias.set(alias, [row]);
  }
  return {
    rows: await rowsOf(spec, records),
    excludedRecords: all.length - records.length,
    members: [...rowsOfAlias].map(([alias, rows]) => ({ alias, rows })),
  };
}
