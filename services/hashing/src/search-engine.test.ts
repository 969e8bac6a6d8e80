import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { type CodeTable, HASHING, laneBits } from '@lethe/hashing';
import { seededRandom, silentLogger } from '@lethe/std';
import { Turns } from './context.ts';
import { closeAll, eventually, TENANT, World } from './fixture.ts';
import { addressOf } from './functions.ts';
import { contextOf } from './index.ts';
import { makeState } from './made-state.fixture.ts';
import { SearchEngine, type SearchSettings } from './search-engine.ts';

afterEach(closeAll);

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

test('threads that are lost twice in a row come back for every table, and leave nothing of a query', async () => {
  const engine = engineWith({ ...quiet, restartMs: 200, threads: 2, tabledFrom: CODES + 1 });
  const tables = [filled(engine), filled(engine)] as const;
  const attached = new Map<CodeTable, boolean>();
  for (const table of tables) {
    const scanWith = table.scanWith.bind(table);
    table.scanWith = (threads) => {
      attached.set(table, threads !== undefined);
      scanWith(threads);
    };
    engine.serve({ table, size: CODES });
  }
  const all = () => eventually(async () => (tables.every((table) => attached.get(table)) ? true : undefined));
  await all();
  const [table, other] = tables;
  const lose = () => {
    table.scanWith(() => {
      throw HASHING.SEARCH_THREAD_LOST('planted');
    });
    assert.equal(table.search(queries[0]!, 3).length, 3);
  };
  // What a thread has under way when it ends.
  const slot = 16 * 16_384;
  table.chunks.bytes.fill(9, slot, slot + 16_384);
  lose();
  assert.equal(attached.get(other), false);
  engine.serve({ table, size: CODES });
  await eventually(async () => (attached.get(table) ? true : undefined));
  assert.ok(table.chunks.bytes.subarray(slot, slot + 16_384).every((byte) => byte === 0));
  lose();
  await all();
  await engine.close();
});

test('threads are for indexes of 8 MB of codes and more, unless told', async () => {
  const engine = engineWith({ threads: 2 });
  const table = filled(engine);
  const attached: boolean[] = [];
  table.scanWith = (threads) => void attached.push(threads !== undefined);
  engine.serve({ table, size: 999_999 });
  await new Promise((done) => setTimeout(done, 300));
  assert.deepEqual(attached, []);
  engine.serve({ table, size: 1_000_000 });
  await eventually(async () => (attached[0] ? true : undefined));
  await engine.close();
});

test('a replica with threads and a multi-index answers as one without: a contained person is in no answer, an erasure leaves nothing', async () => {
  const world = await World.with();
  const blocks = 31;
  const size = 4_096 * blocks;
  const made = seededRandom('search-engine', 'service').bytes(8 * size);
  for (let i = 0; i < size; i++) made.copyWithin(8 * i, 8 * (i % 4_096), 8 * (i % 4_096) + 6);
  const personOf = (position: number): string => `p${position % 1_000}`;
  await makeState(world, { copies: blocks, featureDim: 32, codeBits: 64, personOf, codes: () => made });
  const one = await world.service({ search: { threads: 1, tabledFrom: size + 1 } });
  const two = await world.service({ search: { ...quiet, threads: 2, tabledFrom: size } });
  const asked = [5, 1_005, 4_000].map((i) => made.slice(8 * i, 8 * i + 8));
  const answersOf = async ({ api }: typeof one) => {
    const out = [];
    for (const value of asked) {
      const query = { $case: 'code' as const, value };
      const filter = { modalities: [], labelsAny: [1], labelsAll: [], functionVersions: [] };
      for (const conditions of [{}, { radius: 12 }, { filter }])
        out.push((await api.search(query, 20, conditions)).neighbours);
    }
    return out;
  };
  const same = async () => {
    const [alone, several] = [await answersOf(one), await answersOf(two)];
    assert.deepEqual(several, alone);
    return several.flat().map(({ subjectAlias }) => subjectAlias);
  };
  assert.ok((await same()).includes('p5'));
  // What the service does with a version that begins to serve, seen from inside.
  const inside = contextOf(world.deps, { search: { ...quiet, threads: 2, tabledFrom: size } }).functions;
  const { learned } = await inside.serving(addressOf(TENANT, 'shapes'));
  assert.equal((await eventually(async () => (learned.index.table as CodeTable).plan)).lanes, size);
  await inside.engine.close();
  await new Promise((done) => setTimeout(done, 300));
  assert.ok((await same()).includes('p5'));
  await world.request('p5');
  await world.contained();
  assert.ok(!(await same()).includes('p5'));
  await world.startErasure('p5');
  const { claims } = await world.erased();
  assert.equal(claims[1]?.details.residualInIndexMemory, '0');
  assert.equal(claims[1]?.details.erasedLeaves, String(Math.ceil((size - 5) / 1_000)));
  assert.ok(!(await same()).includes('p5'));
  // The replica that did not erase has opened the version without the person.
  const context = world.context();
  const { current } = await context.functions.load(addressOf(TENANT, 'shapes'));
  const versions = async () => [(await one.api.get()).version, (await two.api.get()).version];
  await eventually(async () =>
    (await versions()).every((version) => version === current?.version) ? true : undefined,
  );
  assert.ok(!(await same()).includes('p5'));
});
