/** The small data set: readings of invented sensors, 100 operators with four rows each. Tables, not pictures. */
import { readFileSync } from 'node:fs';
import type { Lethe } from '@lethe/client';
import type { vault } from '@lethe/contracts';
import {
  byteMatrix,
  csvRecords,
  type DataRecord,
  decodeSpec,
  encodePayload,
  encodeSpec,
  vectorWidth,
} from '@lethe/datasets';
import {
  addItems,
  allocateClasses,
  createFeatureMap,
  emptyCodebook,
  emptyStatistics,
  fitHashFunction,
  targetsOf,
  weightsDigest,
} from '@lethe/hashing';
import { hex } from '@lethe/std';

const fixture = (name: string) =>
  readFileSync(new URL(`../../../libs/datasets/fixtures/${name}`, import.meta.url));

export const SPEC = decodeSpec(fixture('sensors.json'));
export const SPEC_BYTES = encodeSpec(SPEC);

export interface Reading extends DataRecord {
  readonly recordId: string;
}

export const READINGS: readonly Reading[] = csvRecords(SPEC, fixture('sensors.csv').toString('utf8')).map(
  (record, row) => ({ ...record, recordId: `reading-${String(row).padStart(3, '0')}` }),
);

export const payloadOf = (reading: DataRecord): Uint8Array => encodePayload(SPEC, reading);

/** What someone who asks sends: the values without the label. */
export const questionOf = ({ values }: DataRecord): Uint8Array => encodePayload(SPEC, { values });

type Sent = { subjectId: string; recordId: string; payload: Uint8Array };

export const sent = (reading: Reading): Sent => ({
  subjectId: reading.subjectId,
  recordId: reading.recordId,
  payload: payloadOf(reading),
});

/** One ingestion: header, then the records numbered from 1. */
export function ingest(
  client: Lethe,
  dataset: string,
  records: readonly Sent[],
): Promise<vault.IngestResponse> {
  return client.vault.ingest(
    (async function* () {
      yield { message: { $case: 'header' as const, value: { dataset, requestId: '' } } };
      for (const [i, record] of records.entries()) {
        const value = { sequence: BigInt(i + 1), ...record };
        yield { message: { $case: 'record' as const, value } };
      }
    })(),
  );
}

/** Small enough that a solve takes milliseconds. */
export const HASH_OPTIONS = { codeBits: 32, featureDim: 64, lambda: 65_536, featureSeed: 'sensors' } as const;

/** SHA-256 of the weights of a function that learns these readings at once, by the library alone. */
export function learnedAtOnce(readings: readonly DataRecord[]): string {
  const { codeBits, featureDim, lambda, featureSeed: seed } = HASH_OPTIONS;
  const map = createFeatureMap({ seed, featureDim, inputWidth: vectorWidth(SPEC) });
  const codebook = allocateClasses(emptyCodebook(codeBits), SPEC.label.classes);
  const labels = Int32Array.from(readings, (reading) => reading.label ?? -1);
  const batch = { features: map.apply(byteMatrix(SPEC, readings)), targets: targetsOf(codebook, labels) };
  const sums = addItems(emptyStatistics(featureDim, codeBits), batch);
  return hex(weightsDigest(fitHashFunction(sums, { features: map.spec, codebook, lambda, version: 1 })));
}

/** The same reading with one value changed: what a control of an equality needs. */
export function changed(reading: Reading): Reading {
  const [temperature, ...rest] = reading.values;
  return { ...reading, values: [temperature === 100 ? 20 : 100, ...rest] };
}
