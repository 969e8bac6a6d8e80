import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CodeTable } from '@lethe/hashing';
import { isError } from '@lethe/std';
import { idIn, madeUpIndex, plainly } from './fixture.ts';
import { type CodeIndex, INDEX, MemorySegments, needlesOf, scanForResidue } from './index.ts';
import { PlainTable } from './plain-table.fixture.ts';

const newTable = (codeBits: number): PlainTable => new PlainTable(codeBits);
const CLEAN = { ids: 0, codes: 0, salts: 0 };

/** An index from which a person was erased, and what was theirs; a survivor has the same code as one of the items. */
async function erased(table = newTable as (codeBits: number) => PlainTable | CodeTable) {
  const store = new MemorySegments();
  const { index, batch } = await madeUpIndex(300, store, { ...plainly(store), table });
  const ids = index.itemsOf('person-7');
  const survivor = index.itemsOf('person-8')[0]!;
  const needles = needlesOf(index, ids);
  const shared = [{ itemId: survivor, code: needles[0]!.code }];
  await (await index.reencode(shared, 1)).commit();
  await (await index.erase(ids, 1n)).commit();
  return { index, store, batch, needles };
}

test('planted copies are found; after an erasure nothing is, though a survivor has one of the codes and the ledger the ids', async () => {
  for (const table of [newTable, (codeBits: number) => new CodeTable(codeBits)]) {
    const { index, store, needles } = await erased(table);
    assert.ok(needles.length > 1);
    const report = await scanForResidue(index, needles, { newTable: table, store });
    assert.deepEqual(report, {
      planted: 5 * needles.length,
      lanes: 300,
      inMemory: CLEAN,
      inStore: CLEAN,
      inTable: CLEAN,
    });
  }
});

test('each kind of residue is found where it is: code, salt, id, in memory, store and table', async () => {
  const scan = async (
    spoil: (
      index: CodeIndex,
      needle: { code: Uint8Array; salt: Uint8Array; itemId: Uint8Array; index: number },
    ) => void,
  ) => {
    const { index, store, needles } = await erased();
    spoil(index, needles[1]!);
    return await scanForResidue(index, needles, { newTable, store });
  };
  const codes = await scan((index, { code, index: row }) =>
    index.segments()[0]!.columns.codes.set(code, 8 * row),
  );
  assert.deepEqual(codes.inMemory, { ids: 0, codes: 1, salts: 0 });
  const salts = await scan((index, { salt }) => index.segments()[0]!.columns.salts.set(salt, 32 * 5));
  assert.deepEqual(salts.inMemory, { ids: 0, codes: 0, salts: 1 });
  const ids = await scan((index, { itemId }) => index.segments()[0]!.columns.ids.set(itemId, 16 * 5));
  assert.equal(ids.inMemory.ids + ids.inMemory.codes + ids.inMemory.salts > 0, true);
  const table = await scan((index, { itemId, code, index: lane }) => {
    const [tableIds, tableCodes] = index.table.memory();
    tableIds!.set(itemId, 16 * lane);
    tableCodes!.set(code, 8 * lane);
  });
  assert.deepEqual(table.inTable, { ids: 1, codes: 1, salts: 0 });
  const { index, store, batch } = await erased();
  // Of somebody who was not erased everything is still there.
  const report = await scanForResidue(index, needlesOf(index, [idIn(batch, 0)]), { newTable, store });
  assert.deepEqual(report.inStore, { ids: 1, codes: 1, salts: 1 });
  // In the column and in the map by id.
  assert.deepEqual(report.inTable, { ids: 2, codes: 1, salts: 0 });
});

test('a table that hides what it holds is told as a blind scan', async () => {
  const { index, store, needles } = await erased();
  class Hiding extends PlainTable {
    override memory(): readonly Uint8Array[] {
      return [];
    }
  }
  await assert.rejects(
    scanForResidue(index, needles, { newTable: (codeBits) => new Hiding(codeBits), store }),
    (error) => isError(error, INDEX.SCANNER_BLIND),
  );
});

test('the scan sees spare lanes, lanes beyond the last segment, and pieces that no manifest names', async () => {
  const fast = (codeBits: number) => new CodeTable(codeBits);
  const { index, store, needles } = await erased(fast);
  const { chunks } = index.table as CodeTable;
  const at = chunks.codeAt(16_000);
  for (const [j, byte] of needles[0]!.code.entries()) chunks.bytes[at + 16 * j] = byte;
  const lane = await scanForResidue(index, needles, { newTable: fast, store });
  assert.equal(lane.inTable.codes, 1);
  await store.put(Uint8Array.of(1, ...needles[0]!.salt), 7);
  const piece = await scanForResidue(index, needles, { newTable: fast, store });
  assert.deepEqual(piece.inStore, { ids: 0, codes: 0, salts: 1 });
});
