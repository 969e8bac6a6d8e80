/**
 * Digits split by columns: 8,000 rows, two party processes with a file each, the service behind gRPC over loopback.
 *   node services/federation/src/federation.bench.ts
 * Prints the time of a training and of an erasure, accuracy on the test rows before and after, and bytes per sample.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadMnist, type Row } from '@lethe/datasets';
import { writeRowsFile } from '@lethe/party';
import { NAME, PARTIES, SPEC, type TestRow, TOKENS, World } from './fixture.ts';

const SIDE = 28;
const HALF = SIDE / 2;
const { waves, test } = loadMnist();

const halves = ({ values }: Row): Uint8Array[] =>
  PARTIES.map((_, party) => {
    const pixels = values[0] as Uint8Array;
    return Uint8Array.from(
      { length: SIDE * HALF },
      (__, i) => pixels[Math.floor(i / HALF) * SIDE + party * HALF + (i % HALF)]!,
    );
  });
const rowsOf = (rows: readonly Row[], prefix: string): TestRow[] =>
  rows.map((row, i) => ({
    alias: `${prefix}${i >> 2}`,
    recordId: `${prefix}-${i}`,
    label: row.label!,
    columns: halves(row),
  }));
const training = rowsOf(waves.flat(), 'train');
const testing = rowsOf(test, 'test');

const world = await World.start(training, 10);
const children: ChildProcess[] = [];
try {
  await world.create({
    ...SPEC,
    codeBits: 0,
    hiddenUnits: 0,
    topHiddenUnits: 0,
    epochs: 0,
    batchSize: 0,
    learningRate: 0,
    consistencyWeight: 0,
  });
  const tokenFile = join(world.folder, 'token');
  writeFileSync(tokenFile, TOKENS.party, { mode: 0o600 });
  for (const [p, party] of PARTIES.entries()) {
    const rowsFile = join(world.folder, `${party}.rows`);
    const rows = new Map([...training, ...testing].map(({ recordId, columns }) => [recordId, columns[p]!]));
    writeRowsFile(rowsFile, { element: 'uint8', columns: SIDE * HALF, rows });
    const file = join(world.folder, `${party}.json`);
    const keyFile = join(world.folder, `${party}.key`);
    const { address } = world;
    writeFileSync(file, JSON.stringify({ address, tokenFile, federation: NAME, party, rowsFile, keyFile }));
    const main = new URL('../../../libs/party/src/main.ts', import.meta.url).pathname;
    children.push(
      spawn(process.execPath, [main, '--config', file], { stdio: ['ignore', 'ignore', 'inherit'] }),
    );
  }
  await world.until(({ parties }) => parties.every(({ present }) => present), 120_000);
  const startedMs = performance.now();
  const first = await world.ready(1, 120_000);
  const seconds = (from: number): string => ((performance.now() - from) / 1000).toFixed(1);
  console.log(
    `training of ${training.length} rows: ${seconds(startedMs)} s, ${first.bytesPerSampleUp} bytes up, ${first.bytesPerSampleDown} down`,
  );
  console.log(`accuracy on ${testing.length} test rows: ${(await world.accuracy(testing)).toFixed(4)}`);
  await world.request('train7');
  const erasureMs = performance.now();
  await world.startErasure(['train7']);
  const { attestations } = await world.erased(120_000);
  console.log(`erasure: ${seconds(erasureMs)} s, ${attestations.length} attestations`);
  console.log(`accuracy after it: ${(await world.accuracy(testing)).toFixed(4)}`);
} finally {
  for (const child of children) child.kill();
  await world.close();
}
