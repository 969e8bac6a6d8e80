import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CodeTable, laneBits } from '@lethe/hashing';
import { seededRandom, silentLogger } from '@lethe/std';
import { Turns } from './context.ts';
import { eventually } from './fixture.ts';
import { SearchEngine, type SearchSettings } from './search-engine.ts';

const CODES = 400_000;
const random = seededRandom('search-engine');
const ids = random.bytes(16 * CODES);
const codes = random.bytes(8 * CODES);
// Every code has near ones, so that a multi-index is worth it.
for (let i = 0; i < CODES; i++) codes.copyWithin(8 * i, 8 * (i % 4_000), 8 * (i % 4_000) + 6);

const quiet = { settleMs: 0, restartMs: 0, pooledFrom: 1 };

function engineWith(settings: SearchSettings, warnings: string[] = []): SearchEngine {
  const logger = { ...silentLogger, warn: (message: string) => void warnings.push(message) };
  return new SearchEngine(new Turns(), logger, settings);
}

function filled(engine: SearchEngine): CodeTable {
  const table = engine.table(64);
  table.addAll(ids, codes);
  return table;
}

const filter = laneBits(CODES, (lane) => lane % 3 !== 0);
const queries = [0, 77, 3_999].map((i) =>
  codes.slice(8 * i, 8 * i + 8).map((byte, j) => (j === 2 ? byte ^ 5 : byte)),
);
const answers = (table: CodeTable) =>
  queries.flatMap((query) => [
    table.search(query, 10),
    table.search(query, 10, { filter }),
    table.search(query, 10, { filter, radius: 3 }),
    table.search(query, 1_001, { radius: 4 }),
  ]);

test('threads and a multi-index give the answers of one thread that scans: filters, radius, after erasures and replaced codes', async () => {
  const plain = engineWith({ threads: 1, tabledFrom: CODES + 1 });
  const alone = filled(plain);
  plain.serve({ table: alone, size: CODES });
  assert.equal(alone.shared, false);
  const engine = engineWith({ ...quiet, threads: 2, tabledFrom: CODES });
  const table = filled(engine);
  engine.serve({ table, size: CODES });
  const plan = await eventually(async () => table.plan);
  assert.equal(plan.via, 'multi-index');
  assert.equal(alone.plan, undefined);
  assert.deepEqual(answers(table), answers(alone));
  const [gone] = answers(alone)[0]!;
  const others = ids.slice(16 * 5, 16 * 9);
  const renewed = random.bytes(8 * 4);
  for (const each of [table, alone]) {
    each.eraseAll(gone!.itemId);
    each.replaceCodes(others, renewed);
  }
  assert.deepEqual(answers(table), answers(alone));
  assert.deepEqual(table.lanesHolding(renewed.subarray(0, 8)), [5]);
  assert.ok(answers(table).every((found) => found.every(({ lane }) => lane !== gone!.lane)));
  engine.release({ table });
  assert.deepEqual(answers(table), answers(alone));
  await engine.close();
  await plain.close();
});

test('a thread that ends costs no answer: one thread searches, then new ones are there', async () => {
  const warnings: string[] = [];
  const engine = engineWith({ ...quiet, threads: 2, tabledFrom: CODES + 1 }, warnings);
  const table = filled(engine);
  const expected = answers(table);
  const attached: boolean[] = [];
  const scanWith = table.scanWith.bind(table);
  table.scanWith = (threads) => {
    attached.push(threads !== undefined);
    scanWith(threads);
  };
  engine.serve({ table, size: CODES });
  await eventually(async () => (attached.length === 1 ? true : undefined));
  assert.deepEqual(answers(table), expected);
  // Memory that no thread can read: the thread that is told of it ends.
  const unreadable = engine.table(64);
  Object.defineProperty(unreadable, 'handle', { value: { ...unreadable.handle, module: {} } });
  engine.serve({ table: unreadable, size: CODES });
  await eventually(async () => {
    assert.deepEqual(answers(table), expected);
    return warnings.length > 0 ? true : undefined;
  });
  engine.release({ table: unreadable });
  await eventually(async () => (attached.length === 3 ? true : undefined));
  assert.deepEqual(attached, [true, false, true]);
  assert.deepEqual(answers(table), expected);
  assert.equal(warnings.length, 1);
  await engine.close();
});
