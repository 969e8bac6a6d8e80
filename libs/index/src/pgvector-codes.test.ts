/**
 * Against a real server if LETHE_PGVECTOR_URL names one (with the extension `vector` in its database); else only what needs none, and
 * the reason is printed.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { isError, seededRandom } from '@lethe/std';
import { Pool } from 'pg';
import { idIn, madeUpBatch } from './fixture.ts';
import { INDEX, PgVectorCodes } from './index.ts';
import { PlainTable } from './plain-table.fixture.ts';

const url = process.env.LETHE_PGVECTOR_URL;

test('an exact erasure is refused, and so are names that are none, before anything is asked of the server', async () => {
  const asked: string[] = [];
  const pool = {
    query: async (text: string) => {
      asked.push(text);
      return { rows: [], rowCount: 0 };
    },
  } as unknown as Pick<Pool, 'query'>;
  const codes = await PgVectorCodes.open(pool, 'codes', 64);
  await assert.rejects(codes.erase([new Uint8Array(16)], 'exact'), (error) =>
    isError(error, INDEX.ERASURE_NOT_EXACT),
  );
  for (const name of ['x"; DROP TABLE y; --', '', 'Codes', '1a']) {
    await assert.rejects(PgVectorCodes.open(pool, name, 64), (error) => isError(error, INDEX.OPTION_INVALID));
  }
  await assert.rejects(codes.search(new Uint8Array(7), 1), (error) => isError(error, INDEX.BATCH_INVALID));
  assert.equal(asked.length, 1);
});

if (url === undefined) {
  console.log('a real server: not tested, LETHE_PGVECTOR_URL names none');
} else {
  test('a real server answers as the plain table does, ties and all, and forgets what was erased from every answer', async () => {
    const pool = new Pool({ connectionString: url });
    const name = `lethe_${randomUUID().replaceAll('-', '_')}`;
    try {
      const batch = madeUpBatch(500, seededRandom('pgvector'));
      // Few distinct codes: many ties.
      for (let i = 0; i < batch.codes.length; i++) batch.codes[i]! &= 0x11;
      const codes = await PgVectorCodes.open(pool, name, 64);
      const plain = new PlainTable(64);
      await codes.addAll(batch.ids, batch.codes);
      plain.addAll(batch.ids, batch.codes);
      await assert.rejects(codes.addAll(batch.ids, batch.codes), (error) =>
        isError(error, INDEX.DATABASE_FAILED),
      );
      const agree = async (): Promise<void> => {
        const random = seededRandom('queries');
        for (let i = 0; i < 10; i++) {
          const query = random.bytes(8);
          const expected = plain.search(query, 20).map(({ itemId, distance }) => ({ itemId, distance }));
          assert.deepEqual(await codes.search(query, 20), expected);
          const near = plain.range(query, 30).map(({ itemId, distance }) => ({ itemId, distance }));
          assert.deepEqual(await codes.range(query, 30), near);
        }
      };
      await agree();
      const gone = [3, 77, 499].map((row) => idIn(batch, row));
      const { rows, mayRemain } = await codes.erase(gone, 'best-effort');
      assert.equal(rows, 3);
      assert.ok(mayRemain.length > 0);
      assert.equal((await codes.erase(gone, 'best-effort')).rows, 0);
      plain.eraseAll(Buffer.concat(gone));
      await agree();
    } finally {
      await pool.query(`DROP TABLE IF EXISTS "${name}"`);
      await pool.end();
    }
  });
}
