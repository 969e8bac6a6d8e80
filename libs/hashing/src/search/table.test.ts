import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { compareBytes, isError, seededRandom, shuffle } from '@lethe/std';
import fc from 'fast-check';
import { HASHING } from '../errors.ts';
import { Best } from './best.ts';
import { Chunks } from './chunks.ts';
import { MultiIndex } from './multi-index.ts';
import { referenceRange } from './reference.ts';
import { CodeTable, laneBits } from './table.ts';

interface Case {
  readonly codeBits: number;
  readonly itemIds: Uint8Array;
  readonly codes: Uint8Array;
  readonly queries: Uint8Array;
}

/** Shapes of data that a top-k by counting could get wrong. */
const SHAPES: Record<string, (bytes: number, count: number, seed: number) => Uint8Array> = {
  random: (bytes, count, seed) => seededRandom('codes', seed).bytes(bytes * count),
  equal: (bytes, count) => new Uint8Array(bytes * count).fill(0x5a),
  // From all ones down to zeros: against the query of zeros every code is nearer than all before, so every one is a candidate.
  descending: (bytes, count) => {
    const codes = new Uint8Array(bytes * count);
    for (let i = 0; i < count; i++) {
      const ones = Math.floor((8 * bytes * (count - 1 - i)) / Math.max(count - 1, 1));
      for (let bit = 0; bit < ones; bit++) codes[i * bytes + (bit >> 3)]! |= 1 << (bit & 7);
    }
    return codes;
  },
  // Only complements and near complements of the query of zeros: distances K and K - 1.
  far: (bytes, count, seed) => {
    const codes = new Uint8Array(bytes * count).fill(255);
    const random = seededRandom('far', seed).bytes(count);
    for (let i = 0; i < count; i++) if (random[i]! & 1) codes[i * bytes] = 254;
    return codes;
  },
  clustered: (bytes, count, seed) => {
    const random = seededRandom('clusters', seed);
    const centres = random.bytes(bytes * 4);
    const codes = new Uint8Array(bytes * count);
    for (let i = 0; i < count; i++) {
      codes.set(centres.subarray((i & 3) * bytes, ((i & 3) + 1) * bytes), i * bytes);
      codes[i * bytes + (i % bytes)]! ^= 1 << (i % 7);
    }
    return codes;
  },
};

const caseOf = (codeBits: number, count: number, shape: string, seed: number): Case => {
  const bytes = codeBits / 8;
  const codes = SHAPES[shape]!(bytes, count, seed);
  const random = seededRandom('queries', seed);
  const queries = new Uint8Array(3 * bytes);
  queries.set(random.bytes(bytes), bytes);
  queries.set(codes.subarray(0, bytes), 2 * bytes);
  return { codeBits, itemIds: random.bytes(16 * count), codes, queries };
};

const arbitrary = fc.record({
  codeBits: fc.oneof(
    fc.constantFrom(8, 16, 32, 64, 128, 192, 256),
    fc.integer({ min: 1, max: 32 }).map((bytes) => 8 * bytes),
  ),
  count: fc.oneof(fc.integer({ min: 0, max: 200 }), fc.constantFrom(16, 64, 65, 2_500)),
  shape: fc.constantFrom(...Object.keys(SHAPES)),
  seed: fc.integer({ min: 0, max: 1_000_000 }),
  k: fc.constantFrom(1, 2, 10, 100, 5_000),
  keep: fc.constantFrom(1, 0.5, 0.02),
  erase: fc.constantFrom(0, 0.1, 0.9),
  filtered: fc.boolean(),
  shared: fc.boolean(),
});

test('finds what the definition finds: all widths, shapes, filters, after erasures', () => {
  fc.assert(
    fc.property(arbitrary, ({ codeBits, count, shape, seed, k, keep, erase, filtered, shared }) => {
      const { itemIds, codes, queries } = caseOf(codeBits, count, shape, seed);
      const table = new CodeTable(codeBits, { shared });
      table.addAll(itemIds, codes);
      const random = seededRandom('lanes', seed);
      const bytes = random.bytes(2 * count);
      const victims = Array.from({ length: count }, (_, lane) => lane).filter(
        (lane) => bytes[lane]! < 256 * erase,
      );
      const idOf = (lane: number) => itemIds.subarray(16 * lane, 16 * lane + 16);
      assert.deepEqual(table.eraseAll(Uint8Array.from(victims.flatMap((lane) => [...idOf(lane)]))), victims);
      const passes = (lane: number) => bytes[count + lane]! < 256 * keep;
      const filter = filtered ? laneBits(count, passes) : undefined;
      const takesPart = (lane: number) => table.isLive(lane) && (!filtered || passes(lane));
      const items = { itemIds, codes, takesPart };
      const width = codeBits / 8;
      const found = table.searchAll(queries, k, { filter });
      for (let q = 0; q < 3; q++) {
        const query = queries.subarray(q * width, (q + 1) * width);
        const all = referenceRange(items, query, codeBits);
        assert.deepEqual(found[q], all.slice(0, k));
        assert.deepEqual(table.search(query, k, { filter }), all.slice(0, k));
        for (const radius of [0, 1, codeBits >> 2, codeBits - 1, codeBits]) {
          assert.deepEqual(
            table.range(query, radius, { filter }),
            all.filter(({ distance }) => distance <= radius),
          );
        }
      }
    }),
    { numRuns: 150, seed: 4 },
  );
});

test('the multi-index finds what the scan finds, after erasures and additions, and is what it would be without the erased', () => {
  fc.assert(
    fc.property(
      arbitrary,
      fc.boolean(),
      ({ codeBits, count, shape, seed, k, erase, filtered }, calibrated) => {
        if (count < 2 || count > 300) return;
        const { itemIds, codes, queries } = caseOf(codeBits, count, shape, seed);
        const width = codeBits / 8;
        const table = new CodeTable(codeBits);
        const some = Math.ceil(count / 2);
        table.addAll(itemIds.subarray(0, 16 * some), codes.subarray(0, width * some));
        if (calibrated) table.calibrate(() => performance.now());
        if (!calibrated || table.plan?.via !== 'multi-index') table.buildMultiIndex();
        const { length } = table.memory();
        table.addAll(itemIds.subarray(16 * some), codes.subarray(width * some));
        const random = seededRandom('victims', seed).bytes(count);
        const victims = Array.from(random.keys()).filter((lane) => random[lane]! < 256 * erase);
        table.eraseAll(Uint8Array.from(victims.flatMap((v) => [...itemIds.subarray(16 * v, 16 * v + 16)])));
        const filter = filtered ? laneBits(count, (lane) => lane % 3 === 0) : undefined;
        const items = {
          itemIds,
          codes,
          takesPart: (lane: number) => table.isLive(lane) && (!filtered || lane % 3 === 0),
        };
        for (let q = 0; q < 3; q++) {
          const query = queries.subarray(q * width, (q + 1) * width);
          const all = referenceRange(items, query, codeBits);
          for (const via of ['scan', 'multi-index', 'auto'] as const) {
            assert.deepEqual(table.search(query, k, { filter, via }), all.slice(0, k));
            for (const radius of [0, 1, codeBits >> 3, codeBits >> 2, codeBits - 1, codeBits]) {
              const near = all.filter(({ distance }) => distance <= radius);
              assert.deepEqual(table.range(query, radius, { filter, via }), near);
              assert.deepEqual(table.search(query, k, { filter, via, radius }), near.slice(0, k));
            }
          }
        }
        assert.equal(length, table.memory().length, 'all of it is there to be scanned');
      },
    ),
    { numRuns: 150, seed: 4 },
  );
  const random = seededRandom('as if never there');
  const ids = random.bytes(16 * 640);
  const codes = random.bytes(8 * 640);
  const erased = ids.subarray(16 * 100, 16 * 164);
  const early = new CodeTable(64);
  early.addAll(ids, codes);
  early.eraseAll(erased);
  early.buildMultiIndex(4);
  const late = new CodeTable(64);
  late.addAll(ids, codes);
  late.buildMultiIndex(4);
  late.eraseAll(erased);
  const tablesOf = (table: CodeTable) =>
    table
      .memory()
      .slice(1)
      .map((memory) =>
        Buffer.from(memory)
          .toString('hex')
          .replace(/(00)+$/, ''),
      );
  assert.equal(tablesOf(late).length, 8 + 2);
  assert.deepEqual(tablesOf(late), tablesOf(early));
});

/** A clock by which all 48 scans of a calibration take one time, those of 16 queries together another, and its look-ups a third. */
function clockOf(scanMs: number, lookUpsMs: number, togetherMs = 16 * scanMs): () => number {
  let reads = 0;
  let now = 0;
  return () => {
    reads++;
    if (reads % 2 === 0) now += reads <= 96 ? scanMs : reads <= 100 ? togetherMs : lookUpsMs;
    return now;
  };
}

test('whenever a search by tables gives up, early, late or never, it finds the same', () => {
  let choices = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(16, 64, 128),
      fc.constantFrom('random', 'clustered', 'descending', 'far'),
      fc.nat(1_000),
      fc.constantFrom(1, 5, 20),
      // Time of a scan over the time of the look-ups of radius 0..3.
      fc.constantFrom(0.1, 0.3, 1, 3, 10),
      fc.boolean(),
      (codeBits, shape, seed, k, ratio, filtered) => {
        const count = 700;
        const { itemIds, codes, queries } = caseOf(codeBits, count, shape, seed);
        const width = codeBits / 8;
        const table = new CodeTable(codeBits);
        table.addAll(itemIds.subarray(0, 16 * 650), codes.subarray(0, width * 650));
        if (table.calibrate(clockOf(ratio, 1))?.via === 'multi-index') choices++;
        table.addAll(itemIds.subarray(16 * 650), codes.subarray(width * 650));
        const takesPart = (lane: number) => !filtered || lane % 3 === 0;
        const filter = filtered ? laneBits(count, takesPart) : undefined;
        for (let q = 0; q < 3; q++) {
          const query = queries.subarray(q * width, (q + 1) * width);
          const all = referenceRange({ itemIds, codes, takesPart }, query, codeBits);
          assert.deepEqual(table.search(query, k, { filter }), all.slice(0, k));
          const radius = codeBits >> 2;
          const near = all.filter(({ distance }) => distance <= radius);
          assert.deepEqual(table.range(query, radius, { filter }), near);
        }
        for (const radius of [undefined, codeBits >> 2]) {
          assert.deepEqual(
            table.searchAll(queries, k, { filter, radius }),
            table.searchAll(queries, k, { filter, radius, via: 'scan' }),
          );
        }
      },
    ),
    { numRuns: 120, seed: 4 },
  );
  assert.ok(choices >= 40, `${choices} of 120 tables began with the multi-index`);
});

test('of many queries those of which the tables gave up are scanned together', () => {
  const count = 700;
  const { itemIds, codes } = caseOf(64, count, 'random', 7);
  const table = new CodeTable(64);
  table.addAll(itemIds, codes);
  assert.equal(table.calibrate(clockOf(1, 1))?.via, 'multi-index');
  const random = seededRandom('together');
  // Every fifth is there, the others have nothing near.
  const queries = random.bytes(8 * 50);
  for (let q = 0; q < 50; q += 5) queries.set(codes.subarray(8 * q, 8 * q + 8), 8 * q);
  const expected = table.searchAll(queries, 1, { via: 'scan' });
  const scanned: number[] = [];
  table.scanWith((list) => {
    scanned.push(list.length);
    return undefined;
  });
  assert.deepEqual(table.searchAll(queries, 1), expected);
  assert.ok(scanned.length === 1 && scanned[0]! >= 20, `scans of ${scanned} queries`);
});

test('queries that come together are held to what a scan of many costs, a query alone to what its own does', () => {
  const { itemIds, codes } = caseOf(64, 700, 'random', 7);
  const table = new CodeTable(64);
  table.addAll(itemIds, codes);
  // Scanned together they cost next to nothing.
  table.calibrate(clockOf(8, 1, 0.001));
  assert.equal(table.plan?.via, 'multi-index');
  let scanned = 0;
  table.scanWith((list) => {
    scanned += list.length;
    return undefined;
  });
  const queries = seededRandom('alone').bytes(8 * 4);
  const alone = [0, 1, 2, 3].map((q) => table.search(queries.subarray(8 * q, 8 * q + 8), 1)[0]);
  assert.equal(scanned, 0);
  table.searchAll(queries.subarray(8), 1);
  assert.equal(scanned, 0, 'three have nothing to share');
  assert.deepEqual(table.searchAll(queries, 1).flat(), alone);
  assert.equal(scanned, 4);
});

test('between searches, and after a calibration, nothing of a query or of a code is left where it was worked with', (context: TestContext) => {
  // A multiple of 64: all of it is in the tables.
  const count = 1_984;
  const { itemIds, codes, queries } = caseOf(256, count, 'clustered', 3);
  const table = new CodeTable(256);
  table.addAll(itemIds, codes);
  const { mock: opened } = context.mock.method(Chunks.prototype, 'open');
  const { mock: arrays } = context.mock.method(globalThis, 'Uint32Array');
  const { mock: sought } = context.mock.method(MultiIndex.prototype, 'search');
  table.calibrate(() => performance.now());
  const probes = [
    ...opened.calls.map((call) => call.arguments[1]),
    ...sought.calls.map((call) => call.arguments[0].query),
  ];
  // Scanned alone, together, and looked up, with rounds for the compilers.
  assert.equal(probes.length, 16 * (3 + 2 + 3));
  assert.ok(probes.every((probe) => probe.length === 32 && probe.every((byte) => byte === 0)));
  table.buildMultiIndex(16);
  for (const via of ['multi-index', 'scan'] as const) table.searchAll(queries, 10, { via });
  // Keys with lanes and signatures, in an order that is the tables' own only afterwards.
  const sorted = arrays.calls.flatMap(({ result }) => (result?.length === 3 * count ? [result] : []));
  assert.ok(sorted.length >= 16 && sorted.every((words) => words.every((word) => word === 0)));
  // Behind the codes two arrays a table, then what searches write down.
  const [planes, ...index] = table.memory();
  assert.equal(index.length, 2 * 16 + 2);
  assert.ok(index.slice(32).every((memory) => memory.length > 0 && memory.every((byte) => byte === 0)));
  assert.ok(planes!.length > 0);
});

test('what a search has seen tells where it will end: it goes on for a near neighbour and gives up for a far one', () => {
  const count = 20_000;
  const random = seededRandom('the end');
  const codes = random.bytes(8 * count);
  const query = random.bytes(8);
  const chunks = Chunks.create(64, false);
  chunks.reserve(count);
  chunks.write(0, random.bytes(16 * count), codes);
  // Twelve neighbours at distance 10, bits drawn from all 64.
  for (let i = 0; i < 12; i++) {
    const code = query.slice();
    for (const bit of shuffle([...Array(64).keys()], random).slice(0, 10)) code[bit >> 3]! ^= 1 << (bit & 7);
    for (let j = 0; j < 8; j++) chunks.bytes[chunks.codeAt(777 * i) + 16 * j] = code[j]!;
  }
  const index = new MultiIndex(chunks, count);
  assert.equal(index.substrings, 4);
  const lookUps = (bits: number, radius: number) => [1, bits, (bits * (bits - 1)) / 2][radius]!;
  const near = 4 * (lookUps(16, 0) + lookUps(16, 1)) + 3 * lookUps(16, 2);
  const costs = { lookUpNs: 1, scanNsPerCode: (5 * near) / index.covered };
  const search = (sought: Uint8Array, k: number) => {
    const best = new Best(chunks, k, sought);
    const sizes = new Uint32Array(65);
    return index.search({ query: sought, k, radius: 64, filter: undefined, best, sizes, costs });
  };
  assert.deepEqual(search(query, 10), { complete: true, limit: 10, lookUps: near });
  const far = search(random.bytes(8), 10);
  assert.ok(!far.complete && far.lookUps <= 0.03 * 5 * near, `${far.lookUps} of ${near}`);
});

test('replaced codes are found as those of a table that never had the old ones, which are nowhere', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(8, 24, 64, 72, 256),
      fc.integer({ min: 1, max: 300 }),
      fc.constantFrom(...Object.keys(SHAPES)),
      fc.nat(1_000),
      fc.boolean(),
      (codeBits, count, shape, seed, indexed) => {
        const { itemIds, codes, queries } = caseOf(codeBits, count, shape, seed);
        const random = seededRandom('replaced', seed);
        const width = codeBits / 8;
        const table = new CodeTable(codeBits);
        table.addAll(itemIds, codes);
        if (indexed) table.buildMultiIndex();
        const lanes = Array.from({ length: count }, (_, lane) => lane).filter(() => random.below(3) === 0);
        const order = lanes.toReversed();
        const after = codes.slice();
        for (const lane of lanes) after.set(random.bytes(width), lane * width);
        const rows = (column: Uint8Array, bytes: number) =>
          Uint8Array.from(order.flatMap((lane) => [...column.subarray(lane * bytes, (lane + 1) * bytes)]));
        assert.deepEqual(table.replaceCodes(rows(itemIds, 16), rows(after, width)), order);
        const fresh = new CodeTable(codeBits);
        fresh.addAll(itemIds, after);
        if (indexed) fresh.buildMultiIndex();
        const via = indexed ? 'multi-index' : 'scan';
        assert.deepEqual(table.searchAll(queries, 20, { via }), fresh.searchAll(queries, 20, { via }));
        assert.deepEqual(
          table.searchAll(queries, 20, { via: 'scan' }),
          table.searchAll(queries, 20, { via }),
        );
        assert.deepEqual(table.codes(0, count), after);
        // The arrays of the multi-index to the byte.
        assert.deepEqual(table.memory().slice(1), fresh.memory().slice(1));
        for (const lane of order.slice(0, 3)) {
          const old = codes.subarray(lane * width, (lane + 1) * width);
          assert.deepEqual(table.lanesHolding(old), fresh.lanesHolding(old));
        }
      },
    ),
    { numRuns: 100, seed: 4 },
  );
  const table = new CodeTable(64);
  const ids = seededRandom('not replaced').bytes(48);
  table.addAll(ids.subarray(0, 32), new Uint8Array(16));
  const code = new Uint8Array(16).fill(7);
  for (const named of [ids.subarray(16), Buffer.concat([ids.subarray(0, 16), ids.subarray(0, 16)])]) {
    assert.throws(
      () => table.replaceCodes(named, code),
      (e) => isError(e, HASHING.ITEM_NOT_FOUND),
    );
  }
  assert.throws(
    () => table.replaceCodes(ids.subarray(0, 32), code.subarray(1)),
    (e) => isError(e, HASHING.CODE_LENGTH_WRONG),
  );
  assert.deepEqual(table.codes(0, 2), new Uint8Array(16), 'all or none');
});

test('several chunks of equal codes: the lowest ids of all, in bounded memory', () => {
  const count = 40_000;
  const table = new CodeTable(64);
  const itemIds = seededRandom('equal').bytes(16 * count);
  table.addAll(itemIds, new Uint8Array(8 * count).fill(9));
  const ids = Array.from({ length: count }, (_, i) => itemIds.subarray(16 * i, 16 * i + 16)).sort(
    compareBytes,
  );
  const found = table.search(new Uint8Array(8), 700);
  assert.deepEqual(
    found.map(({ itemId }) => Buffer.from(itemId)),
    ids.slice(0, 700).map((id) => Buffer.from(id)),
  );
});

test('an addition of many is all or nothing', () => {
  // Few are entered one by one, many in the order of their slots.
  for (const scale of [1, 200]) {
    const table = new CodeTable(64);
    const random = seededRandom('all or nothing');
    const [there, count] = [20 * scale, 50 * scale];
    const ids = random.bytes(16 * count);
    const codes = random.bytes(8 * count);
    table.addAll(ids.subarray(0, 16 * there), codes.subarray(0, 8 * there));
    for (const bad of [
      ids.subarray(16 * (there - 1)),
      Buffer.concat([ids.subarray(16 * there), ids.subarray(16 * (count - 1))]),
    ]) {
      assert.throws(
        () => table.addAll(bad, new Uint8Array(bad.length / 2).fill(77)),
        (e) => isError(e, HASHING.ITEM_EXISTS),
      );
    }
    assert.equal(table.lanes, there);
    assert.deepEqual(table.lanesHolding(new Uint8Array(8).fill(77)), [], 'nothing of it stays');
    for (let i = 0; i < count; i++) assert.equal(table.has(ids.subarray(16 * i, 16 * i + 16)), i < there);
    assert.equal(table.addAll(ids.subarray(16 * there), codes.subarray(8 * there)), there);
    for (let i = 0; i < count; i++) assert.equal(table.laneOf(ids.subarray(16 * i, 16 * i + 16)), i);
    assert.deepEqual(table.codes(0, count), codes);
    assert.deepEqual(table.itemIds(0, count), ids);
  }
});

test('erasing leaves no byte of code, id or query in any memory, and other items are found as before', () => {
  const count = 3_000;
  const random = seededRandom('erase');
  const ids = random.bytes(16 * count);
  const codes = random.bytes(8 * count);
  const table = new CodeTable(64);
  table.addAll(ids, codes);
  const victim = 1_234;
  const id = ids.slice(16 * victim, 16 * victim + 16);
  const code = codes.slice(8 * victim, 8 * victim + 8);
  assert.equal(table.search(code, 1)[0]!.lane, victim);
  assert.deepEqual(table.lanesHolding(code), [victim]);
  table.erase(id);
  assert.deepEqual(table.lanesHolding(code), []);
  for (const memory of table.memory()) {
    const bytes = Buffer.from(memory.buffer as ArrayBuffer, memory.byteOffset, memory.length);
    assert.equal(bytes.indexOf(id), -1);
    // A query lies in memory as each of its bytes 16 times.
    assert.equal(
      bytes.indexOf(Buffer.from([...code.subarray(0, 2)].flatMap((byte) => Array(16).fill(byte)))),
      -1,
    );
  }
  for (let i = 0; i < count; i++) {
    assert.equal(table.has(ids.subarray(16 * i, 16 * i + 16)), i !== victim);
  }
});

test('the id table survives many erasures and additions', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 60 }), { maxLength: 400 }), (steps) => {
      const table = new CodeTable(8);
      const here = new Map<number, number>();
      for (const name of steps) {
        const id = new Uint8Array(16).fill(name + 1);
        const lane = here.get(name);
        if (lane === undefined) here.set(name, table.add(id, Uint8Array.of(name)));
        else {
          assert.equal(table.erase(id), lane);
          here.delete(name);
        }
      }
      assert.equal(table.size, here.size);
      for (let name = 0; name <= 60; name++) {
        assert.equal(table.has(new Uint8Array(16).fill(name + 1)), here.has(name));
      }
    }),
    { numRuns: 50, seed: 4 },
  );
});

test('bad input is a coded error', () => {
  assert.throws(
    () => new CodeTable(264),
    (e) => isError(e, HASHING.CODE_LENGTH_WRONG),
  );
  assert.throws(
    () => new CodeTable(12),
    (e) => isError(e, HASHING.CODE_LENGTH_WRONG),
  );
  const table = new CodeTable(64);
  const code = new Uint8Array(8);
  for (const k of [0, 1.5, Number.NaN]) {
    assert.throws(
      () => table.search(code, k),
      (e) => isError(e, HASHING.OPTION_INVALID),
    );
  }
  for (const radius of [-1, 65, 0.5]) {
    assert.throws(
      () => table.range(code, radius),
      (e) => isError(e, HASHING.OPTION_INVALID),
    );
    assert.throws(
      () => table.search(code, 1, { radius }),
      (e) => isError(e, HASHING.OPTION_INVALID),
    );
  }
  assert.throws(
    () => table.search(new Uint8Array(7), 1),
    (e) => isError(e, HASHING.CODE_LENGTH_WRONG),
  );
  assert.throws(
    () => table.searchAll(new Uint8Array(12), 1),
    (e) => isError(e, HASHING.CODE_LENGTH_WRONG),
  );
  assert.throws(
    () => table.addAll(new Uint8Array(17), code),
    (e) => isError(e, HASHING.SHAPE_MISMATCH),
  );
  assert.throws(
    () => table.erase(new Uint8Array(16)),
    (e) => isError(e, HASHING.ITEM_NOT_FOUND),
  );
});

test('an erasure leaves no bit of a filter, and substrings that are no number of tables are refused', () => {
  const table = new CodeTable(64);
  const random = seededRandom('filter bits');
  const ids = random.bytes(16 * 100);
  table.addAll(ids, random.bytes(8 * 100));
  const before = table.memory()[0]!.slice();
  table.search(new Uint8Array(8), 5, { filter: laneBits(100, () => true) });
  const after = table.memory()[0]!;
  const places: number[] = [];
  for (let at = 0; at < before.length; at++) if (after[at] !== before[at]) places.push(at);
  assert.ok(places.length > 0);
  table.erase(ids.slice(0, 16));
  assert.ok(places.every((at) => table.memory()[0]![at] === 0));
  for (const substrings of [Number.NaN, 1.5, 0, -1]) {
    assert.throws(
      () => table.buildMultiIndex(substrings),
      (error) => isError(error, HASHING.OPTION_INVALID),
    );
  }
});

test('a filter shorter than the table leaves out the lanes beyond it; an erased lane neither answers nor is given again', () => {
  const random = seededRandom('lanes beyond');
  const ids = random.bytes(16 * 100);
  const table = new CodeTable(64);
  table.addAll(ids, random.bytes(8 * 100));
  const found = table.search(new Uint8Array(8), 100, { filter: laneBits(10, () => true) });
  assert.deepEqual(
    found.map(({ lane }) => lane).sort((a, b) => a - b),
    Array.from({ length: 10 }, (_, lane) => lane),
  );
  assert.equal(table.erase(ids.subarray(16 * 50, 16 * 51)), 50);
  assert.equal(table.add(ids.subarray(16 * 50, 16 * 51), new Uint8Array(8)), 100);
  assert.equal(
    table.search(new Uint8Array(8), 1)[0]!.lane,
    100,
    'the lane of zeros is no neighbour of zeros',
  );
});
