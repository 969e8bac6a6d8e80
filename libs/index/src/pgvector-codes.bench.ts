/**
 * `LETHE_PGVECTOR_URL=postgres://… node libs/index/src/pgvector-codes.bench.ts [--json]`: about 1 M codes of 64 bits in PostgreSQL with pgvector, as it is
 * configured, and in the index in memory, one thread; the same batches, queries and answers, in turns.
 */
import { randomUUID } from 'node:crypto';
import { cpus, loadavg } from 'node:os';
import { seededRandom } from '@lethe/std';
import { Pool } from 'pg';
import { CodeIndex } from './code-index.ts';
import { idIn, madeUpBatch, optionsOf } from './fixture.ts';
import { MemorySegments } from './memory-segments.ts';
import { type PgFilter, PgVectorCodes } from './pgvector-codes.ts';

const SHAPE = { codeBits: 64, classes: 24, persons: 50_000 };
const BATCH = 16_384;
const BATCHES = 62;
const QUERIES = 20;
const K = 10;
const FILTERS: Readonly<Record<string, PgFilter | undefined>> = {
  none: undefined,
  'one label of two, one modality': { labelsAny: [3, 4], modalities: [1] },
};

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;
const timed = async <T>(times: number[], work: () => T | Promise<T>): Promise<T> => {
  const from = performance.now();
  const result = await work();
  times.push(performance.now() - from);
  return result;
};

async function measure(pool: Pool, table: string) {
  const codes = await PgVectorCodes.open(pool, table, SHAPE);
  const index = CodeIndex.create({ ...optionsOf(new MemorySegments()), ...SHAPE });
  const random = seededRandom('pgvector bench');
  const adding = { database: [] as number[], index: [] as number[] };
  const first = madeUpBatch(BATCH, random, SHAPE);
  for (let b = 0; b < BATCHES; b++) {
    const batch = b === 0 ? first : madeUpBatch(BATCH, random, SHAPE);
    await timed(adding.database, () => codes.addAll(batch));
    await timed(adding.index, async () => (await index.append(batch)).commit());
  }
  await pool.query(`VACUUM ANALYZE "${table}"`);
  const searches = [];
  for (const [name, filter] of Object.entries(FILTERS)) {
    const times = { database: [] as number[], index: [] as number[] };
    let identical = true;
    for (let q = 0; q < QUERIES; q++) {
      const query = random.bytes(SHAPE.codeBits / 8);
      const found = await timed(times.database, () => codes.search(query, K, filter));
      const expected = await timed(times.index, () => index.search(query, K, filter));
      identical &&=
        JSON.stringify(found) ===
        JSON.stringify(expected.map(({ itemId, distance }) => ({ itemId, distance })));
    }
    searches.push({
      filter: name,
      databaseMs: median(times.database),
      indexMs: median(times.index),
      identical,
    });
  }
  const erasing: number[] = [];
  const person = Array.from({ length: 20 }, (_, row) => idIn(first, row));
  await timed(erasing, () => codes.erase(person, 'best-effort'));
  const perSecond = (times: readonly number[]) => Math.round((1_000 * BATCH) / median(times));
  return {
    codes: BATCH * BATCHES,
    bits: SHAPE.codeBits,
    k: K,
    addedPerSecond: { database: perSecond(adding.database), index: perSecond(adding.index) },
    searches,
    erasureOf20Ms: erasing[0],
  };
}

const url = process.env.LETHE_PGVECTOR_URL;
if (url === undefined) console.error('not measured: LETHE_PGVECTOR_URL names no server');
else {
  const pool = new Pool({ connectionString: url });
  const table = `lethe_${randomUUID().replaceAll('-', '_')}`;
  try {
    const [server] = (await pool.query<{ version: string }>('SELECT version()')).rows;
    const run = await measure(pool, table);
    const machine = { processor: cpus()[0]?.model, cores: cpus().length, load: loadavg()[0] };
    const report = { bench: 'pgvector', server: server!.version, machine, ...run };
    console.log(
      process.argv.includes('--json') ? JSON.stringify(report) : JSON.stringify(report, undefined, 1),
    );
  } finally {
    await pool.query(`DROP TABLE IF EXISTS "${table}"`);
    await pool.end();
  }
}
