import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import {
  CodeTable,
  HASHING,
  type LedgerEntry,
  ledgerLeaf,
  Segment,
  verifyErasureProof,
  verifyInclusionProof,
  verifyReencodeProof,
  verifyUpdateProof,
} from '@lethe/hashing';
import { PlainLedger } from '@lethe/hashing/fixture';
import { compareBytes, type ErrorSpec, hex, isError, seededRandom } from '@lethe/std';
import fc from 'fast-check';
import { codeIn, idIn, madeUpBatch, madeUpIndex, optionsOf, plainly, WIDTHS } from './fixture.ts';
import {
  CodeIndex,
  decodeManifest,
  encodeManifest,
  INDEX,
  type IndexEntry,
  MemorySegments,
  sweep,
} from './index.ts';
import { PlainTable } from './plain-table.fixture.ts';

const is =
  (kind: { readonly spec: ErrorSpec }) =>
  (error: unknown): boolean =>
    isError(error, kind);

const asLedger = (entry: IndexEntry): LedgerEntry =>
  entry.kind === 'erased'
    ? { kind: 'erased', itemId: entry.itemId, seq: entry.seq }
    : {
        kind: 'live',
        itemId: entry.itemId,
        fnVersion: entry.fnVersion,
        code: entry.code,
        salt: entry.salt,
      };

/** The same entries in one list. */
function plainLedger(index: CodeIndex): PlainLedger {
  const ledger = new PlainLedger();
  for (const entry of index.entries()) ledger.append(asLedger(entry));
  return ledger;
}

const reopen = (index: CodeIndex, store: MemorySegments): Promise<CodeIndex> =>
  CodeIndex.open(decodeManifest(encodeManifest(index.manifest())), optionsOf(store, 'reopened'));

test('roots and proofs are those of the plain ledger, through appends, erasures and re-encodings; a rebuilt index equals the live one', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.tuple(fc.constantFrom('append', 'erase', 'reencode', 'reopen'), fc.integer({ min: 1, max: 9 })),
        {
          minLength: 1,
          maxLength: 8,
        },
      ),
      fc.nat(1000),
      async (steps, seed) => {
        const random = seededRandom('steps', seed);
        const store = new MemorySegments();
        let index = CodeIndex.create({ ...optionsOf(store), ...WIDTHS });
        let sequence = 0n;
        for (const [step, count] of steps) {
          const ledger = plainLedger(index);
          const live = [...index.entries()].filter(({ kind }) => kind === 'live');
          const chosen = live.filter(() => random.below(3) === 0).slice(0, count);
          const ids = chosen.map(({ itemId }) => itemId);
          sequence++;
          if (step === 'append') {
            const change = await index.append(madeUpBatch(count, random), sequence);
            assert.ok(verifyUpdateProof(change.proof));
            assert.equal(change.first, index.size);
            assert.deepEqual(change.proof.rootBefore, ledger.root());
            await change.commit();
            const plain = plainLedger(index).proveUpdate(change.proof.sizeBefore);
            assert.deepEqual(change.proof, plain);
            assert.deepEqual(index.proveUpdate(plain.sizeBefore, plain.rootBefore), plain);
          } else if (step === 'erase' && ids.length > 0) {
            const change = await index.erase(ids, sequence, sequence);
            assert.ok(verifyErasureProof(change.proof));
            assert.deepEqual(change.proof, ledger.erase(ids, sequence));
            await change.commit();
          } else if (step === 'reencode' && ids.length > 0) {
            const version = index.ledgerVersion;
            const changes = ids.map((itemId) => ({ itemId, code: random.bytes(8) }));
            const change = await index.reencode(changes, 7);
            assert.ok(verifyReencodeProof(change.proof));
            await change.commit();
            assert.equal(index.ledgerVersion, version + 1);
            assert.equal(change.manifest.ledgerVersion, version + 1);
            for (const { itemId, code } of changes) {
              const entry = index.entry(itemId);
              assert.ok(entry.kind === 'live' && entry.fnVersion === 7);
              assert.deepEqual(entry.code, code);
              assert.equal(index.search(code, 1)[0]!.distance, 0);
            }
          } else if (step === 'reopen') {
            index = await reopen(index, store);
          }
          const after = plainLedger(index);
          assert.deepEqual(index.root(), after.root());
          assert.equal(index.manifest().root, hex(after.root()));
          const again = await reopen(index, store);
          assert.deepEqual([...again.entries()], [...index.entries()]);
          assert.equal(again.live, index.live);
          const query = random.bytes(8);
          assert.deepEqual(again.search(query, 5), index.search(query, 5));
          for (const entry of index.entries()) {
            const proof = index.prove(entry.itemId);
            assert.ok(verifyInclusionProof(proof));
            assert.deepEqual(proof.leaf, ledgerLeaf(asLedger(entry)));
          }
          assert.deepEqual(await sweep(store, index.manifest()), [], 'nothing is left over');
        }
      },
    ),
    { numRuns: 25 },
  );
});

test('over a segment border: one root, proofs across, and an erasure rewrites only the segments that it touches', async () => {
  const { index, store, batch } = await madeUpIndex(70_000);
  const ledger = plainLedger(index);
  assert.deepEqual(index.root(), ledger.root());
  assert.deepEqual(
    index.manifest().segments.map(({ rows }) => rows),
    [65_536, 4_464],
  );
  for (const row of [0, 65_535, 65_536, 69_999])
    assert.ok(verifyInclusionProof(index.prove(idIn(batch, row))));
  const [first] = index.manifest().segments;
  const tail = await index.erase([idIn(batch, 65_536), idIn(batch, 69_999)], 5n);
  assert.deepEqual(tail.rewritten, [1]);
  assert.deepEqual(tail.proof, ledger.erase([idIn(batch, 65_536), idIn(batch, 69_999)], 5n));
  await tail.commit();
  assert.equal(index.manifest().segments[0], first);
  const both = await index.erase([idIn(batch, 65_535), idIn(batch, 65_537)], 6n);
  assert.deepEqual(both.rewritten, [0, 1]);
  assert.ok(verifyErasureProof(both.proof));
  await both.commit();
  assert.equal(index.live, 69_996);
  const again = await reopen(index, store as MemorySegments);
  assert.deepEqual(again.root(), index.root());
});

test('a re-encoding over a segment border gives every item its own code and no working copy keeps it', async (context: TestContext) => {
  const { index, store, batch } = await madeUpIndex(66_000);
  const rows = [65_999, 3, 65_536, 65_535, 9];
  const codes = seededRandom('re-encoded').bytes(8 * rows.length);
  const codeOf = (i: number) => codes.slice(8 * i, 8 * i + 8);
  const { mock: made } = context.mock.method(Segment.prototype, 'reencoded');
  const changes = rows.map((row, i) => ({ itemId: idIn(batch, row), code: codeOf(i) }));
  const change = await index.reencode(changes, 2);
  assert.deepEqual(change.rewritten, [0, 1]);
  assert.ok(verifyReencodeProof(change.proof));
  await change.commit();
  const given = made.calls.map((call) => call.arguments[1]);
  assert.equal(given.length, 2);
  assert.ok(given.every((bytes) => bytes.every((byte) => byte === 0)));
  const again = await reopen(index, store as MemorySegments);
  for (const one of [index, again]) {
    for (const [i, row] of rows.entries()) {
      const entry = one.entry(idIn(batch, row));
      assert.ok(entry.kind === 'live');
      assert.deepEqual([entry.code, entry.fnVersion], [codeOf(i), 2]);
      assert.deepEqual(one.search(codeOf(i), 1)[0]!.itemId, idIn(batch, row));
    }
  }
});

test('a change that is refused half-way leaves no copy of a segment and no new code; none is made before all are verified', async (context: TestContext) => {
  const { batch, store, index: first } = await madeUpIndex(66_000);
  let salts = 0;
  const { random, ...options } = optionsOf(store);
  const index = await CodeIndex.open(first.manifest(), {
    ...options,
    random: {
      ...random,
      bytes: (count) => {
        if (++salts === 2) throw new Error('no salt for the second segment');
        return random.bytes(count);
      },
    },
  });
  const { mock: reencoded } = context.mock.method(Segment.prototype, 'reencoded');
  const { mock: erased } = context.mock.method(Segment.prototype, 'erased');
  const { mock: decoded } = context.mock.method(Segment, 'decode');
  const ids = [idIn(batch, 3), idIn(batch, 65_900)];
  const changes = ids.map((itemId) => ({ itemId, code: new Uint8Array(8).fill(0xab) }));
  await assert.rejects(index.reencode(changes, 2), /no salt/);
  assert.equal(reencoded.calls.length, 1);
  const [call] = reencoded.calls;
  assert.ok(call!.result!.bytes.every((byte) => byte === 0));
  assert.ok(call!.arguments[1].every((byte) => byte === 0));
  erased.mockImplementationOnce(() => {
    throw new Error('no room for the second segment');
  }, 1);
  await assert.rejects(index.erase(ids, 1n), /no room/);
  assert.ok(erased.calls[0]!.result!.bytes.every((byte) => byte === 0));
  decoded.mockImplementationOnce(() => {
    throw new Error('no room for the second copy');
  }, 1);
  await assert.rejects(index.repair([0, 1]), /no room/);
  assert.ok(decoded.calls[0]!.result!.bytes.every((byte) => byte === 0));
  const made = [reencoded, erased, decoded].map(({ calls }) => calls.length);
  const other = await CodeIndex.open(first.manifest(), optionsOf(store));
  made[2]! += 2;
  other.segments()[1]!.columns.codes[80]! ^= 4;
  await assert.rejects(other.reencode(changes, 2), is(INDEX.SEGMENT_DAMAGED));
  await assert.rejects(other.erase(ids, 1n), is(INDEX.SEGMENT_DAMAGED));
  await assert.rejects(other.repair([0, 1]), is(INDEX.SEGMENT_DAMAGED));
  assert.deepEqual(
    [reencoded, erased, decoded].map(({ calls }) => calls.length),
    made,
  );
  await (await index.erase(ids, 1n)).commit();
  assert.equal(index.live, 65_998);
});

test('the codes from which an opened index fills its table are overwritten', async () => {
  const { index, store } = await madeUpIndex(200);
  const taken: Uint8Array[] = [];
  const table = (codeBits: number) => {
    const own = new CodeTable(codeBits);
    const addAll = own.addAll.bind(own);
    own.addAll = (ids, codes) => {
      taken.push(codes);
      return addAll(ids, codes);
    };
    return own;
  };
  const opened = await CodeIndex.open(index.manifest(), { ...optionsOf(store), table });
  assert.deepEqual(opened.root(), index.root());
  assert.deepEqual(
    taken.map(({ length }) => length),
    [8 * 200],
  );
  assert.ok(taken[0]!.every((byte) => byte === 0));
});

test('searches filter by modality, labels, version and person as a plain look at the entries does', async () => {
  const { index, store, batch } = await madeUpIndex(400);
  await (await index.erase([idIn(batch, 3), idIn(batch, 77)], 9n)).commit();
  await (await index.reencode([{ itemId: idIn(batch, 8), code: codeIn(batch, 9) }], 2)).commit();
  const plain = await CodeIndex.open(index.manifest(), plainly(store));
  const many = new Set(Array.from({ length: 30 }, (_, i) => `person-${i}`));
  const filters = [
    undefined,
    {},
    { modalities: [1] },
    { modalities: [] },
    { labelsAny: [0, 9] },
    { labelsAll: [0, 9] },
    { labelsAll: [0, 10] },
    { fnVersions: [2] },
    { excludedOwners: new Set(['person-3', 'nobody']) },
    { excludedItems: new Set<number>() },
    { excludedItems: new Set([0, 8, 77, 399, 4_000]) },
    { excludedItems: new Set([1, 2]), excludedOwners: new Set(['person-3']), modalities: [0] },
    { excludedOwners: many, modalities: [0], labelsAny: [1, 2, 3], fnVersions: [1] },
  ];
  for (const filter of filters) {
    const passes = (entry: IndexEntry): boolean => {
      if (entry.kind === 'erased') return false;
      const { modalities, labelsAny, labelsAll, fnVersions, excludedOwners, excludedItems } = {
        ...filter,
      } as Parameters<typeof index.search>[2] & object;
      return (
        (modalities?.includes(entry.modality) ?? true) &&
        (labelsAny?.some((label) => entry.labels.includes(label)) ?? true) &&
        (labelsAll?.every((label) => entry.labels.includes(label)) ?? true) &&
        (fnVersions?.includes(entry.fnVersion) ?? true) &&
        !excludedOwners?.has(entry.owner) &&
        !excludedItems?.has(entry.index)
      );
    };
    const expected = [...index.entries()]
      .filter(passes)
      .map(({ itemId }) => hex(itemId))
      .sort();
    for (let round = 0; round < 2; round++) {
      const found = index.range(codeIn(batch, 9), 64, filter);
      assert.deepEqual(found.map(({ itemId }) => hex(itemId)).sort(), expected, JSON.stringify(filter));
      assert.deepEqual(index.search(codeIn(batch, 9), 7, filter), found.slice(0, 7));
      assert.deepEqual(plain.range(codeIn(batch, 9), 64, filter), found);
      const radius = found[2]?.distance ?? 0;
      const near = found.filter(({ distance }) => distance <= radius).slice(0, 7);
      assert.deepEqual(index.search(codeIn(batch, 9), 7, filter, radius), near);
    }
  }
  // What a filter let through is thought over when entries come or change.
  const filter = { modalities: [0, 1] };
  assert.equal(index.range(codeIn(batch, 9), 64, filter).length, 398);
  await (await index.append(madeUpBatch(3, seededRandom('late')))).commit();
  assert.equal(index.range(codeIn(batch, 9), 64, filter).length, 401);
  // The two nearest have one code now: the tie goes by id, and the lane follows the item.
  const [a, b] = index.search(codeIn(batch, 9), 2);
  assert.deepEqual([a!.distance, b!.distance], [0, 0]);
  assert.ok(compareBytes(a!.itemId, b!.itemId) < 0);
  assert.deepEqual(index.entryAt(a!.index).itemId, a!.itemId);
});

test('a person: items by alias, erased together, then nothing of them is found', async () => {
  const { index } = await madeUpIndex(300);
  const ids = index.itemsOf('person-7');
  assert.ok(ids.length > 1);
  for (const id of ids) {
    const entry = index.entry(id);
    assert.ok(entry.kind === 'live' && entry.owner === 'person-7');
  }
  await (await index.erase(ids, 4n, 4n)).commit();
  assert.deepEqual(index.itemsOf('person-7'), []);
  assert.equal(index.live, 300 - ids.length);
  assert.ok(index.segments().every((segment) => !segment.aliases.includes('person-7')));
  assert.deepEqual(index.entry(ids[0]!), {
    kind: 'erased',
    index: index.indexOf(ids[0]!),
    itemId: ids[0],
    seq: 4n,
  });
});

test('until the commit nothing is to be seen of a change, and an abort leaves nothing of it', async () => {
  const { index, store, batch } = await madeUpIndex(50);
  const memory = store as MemorySegments;
  const before = { manifest: index.manifest(), entries: [...index.entries()] };
  const changes = [
    () => index.append(madeUpBatch(10, seededRandom('more')), 8n),
    () => index.erase([idIn(batch, 1)], 8n, 8n),
    () => index.reencode([{ itemId: idIn(batch, 1), code: new Uint8Array(8) }], 2, 8n),
  ];
  for (const prepare of changes) {
    const change = await prepare();
    assert.deepEqual({ manifest: index.manifest(), entries: [...index.entries()] }, before);
    await assert.rejects(index.erase([idIn(batch, 2)], 1n), is(INDEX.CHANGE_OPEN));
    await assert.rejects(
      CodeIndex.open(change.manifest, optionsOf(new MemorySegments())),
      is(INDEX.SEGMENT_MISSING),
    );
    // What the caller makes a fact can be opened at once, by a replica or after a crash.
    assert.equal(
      hex((await CodeIndex.open(change.manifest, optionsOf(memory))).root()),
      change.manifest.root,
    );
    await change.abort();
    assert.deepEqual({ manifest: index.manifest(), entries: [...index.entries()] }, before);
    assert.deepEqual(await sweep(memory, index.manifest()), []);
    assert.equal((await index.scrub()).damagedInStore.length, 0);
  }
  await (await changes[1]!()).commit();
  assert.equal(index.applied, 8n);
});

test('a store that fails at any operation of a change leaves the old state, and later the change goes through', async () => {
  for (let failing = 1; failing <= 2; failing++) {
    const memory = new MemorySegments();
    let left = Number.POSITIVE_INFINITY;
    const count = <T>(work: () => Promise<T>): Promise<T> =>
      --left === 0 ? Promise.reject(INDEX.STORE_FULL('no room')) : work();
    const store = {
      put: (bytes: Uint8Array, segment: number) => count(() => memory.put(bytes, segment)),
      get: (reference: string) => memory.get(reference),
      delete: (reference: string) => memory.delete(reference),
    };
    const { index, batch } = await madeUpIndex(65_536 + 10, store);
    const before = index.manifest();
    left = failing;
    const ids = [idIn(batch, 5), idIn(batch, 65_536)];
    await assert.rejects(index.erase(ids, 3n), is(INDEX.STORE_FULL));
    assert.deepEqual(index.manifest(), before);
    assert.equal(index.live, index.size);
    assert.deepEqual(await sweep(memory, before), []);
    const change = await index.erase(ids, 3n);
    assert.ok(verifyErasureProof(change.proof));
    await change.commit();
    assert.equal(index.live, index.size - 2);
  }
});

test('what cannot be is refused before anything is touched', async () => {
  const { index, batch } = await madeUpIndex(20);
  const more = madeUpBatch(4, seededRandom('refused'));
  const refused = async (work: () => Promise<unknown>, kind: { readonly spec: ErrorSpec }): Promise<void> => {
    await assert.rejects(work(), is(kind));
  };
  await refused(() => index.append(batch), HASHING.ITEM_EXISTS);
  await refused(() => index.append({ ...more, ids: new Uint8Array(64) }), HASHING.ITEM_EXISTS);
  await refused(() => index.append({ ...more, codes: new Uint8Array(31) }), INDEX.BATCH_INVALID);
  await refused(() => index.append({ ...more, aliases: ['x'] }), INDEX.BATCH_INVALID);
  await refused(
    () => index.append({ ...more, aliases: more.aliases.map(() => '\ud800') }),
    INDEX.BATCH_INVALID,
  );
  await refused(() => index.append({ ...more, labels: new Uint8Array(8).fill(255) }), INDEX.BATCH_INVALID);
  await refused(() => index.erase([new Uint8Array(16)], 1n), HASHING.ITEM_NOT_FOUND);
  await refused(() => index.erase([idIn(batch, 1), idIn(batch, 1)], 1n), HASHING.OPTION_INVALID);
  await refused(() => index.erase([idIn(batch, 1)], -1n), INDEX.OPTION_INVALID);
  await refused(
    () => index.reencode([{ itemId: idIn(batch, 1), code: new Uint8Array(7) }], 2),
    HASHING.CODE_LENGTH_WRONG,
  );
  await (await index.erase([idIn(batch, 1)], 1n)).commit();
  await refused(() => index.erase([idIn(batch, 1)], 2n), HASHING.ITEM_NOT_FOUND);
  await refused(() => index.append({ ...more, ids: batch.ids.slice(0, 64) }), HASHING.ITEM_EXISTS);
  const item = {
    itemId: new Uint8Array(16),
    code: new Uint8Array(8),
    fnVersion: 1,
    modality: 0,
    labels: [9],
    owner: 'anna',
  };
  assert.throws(() => index.batchOf([{ ...item, labels: [10] }]), is(INDEX.BATCH_INVALID));
  assert.throws(() => index.batchOf([{ ...item, modality: 256 }]), is(INDEX.BATCH_INVALID));
  await (await index.append(index.batchOf([item]))).commit();
  const { index: leaf, salt, ...back } = { salt: undefined, ...index.entry(item.itemId) };
  assert.deepEqual(back, { kind: 'live', ...item });
  assert.equal(leaf, 20);
  assert.notEqual(salt, undefined);
  assert.throws(
    () => CodeIndex.create({ ...optionsOf(new MemorySegments()), codeBits: 60, classes: 1 }),
    is(INDEX.OPTION_INVALID),
  );
});

test('a damaged segment is named and taken from a copy; a flipped bit in memory or store is found and repaired', async () => {
  const { index, store, batch } = await madeUpIndex(100);
  const memory = store as MemorySegments;
  const manifest = index.manifest();
  const [ref] = manifest.segments;
  const good = await memory.get(ref!.reference);
  const flipping = (bit: number) => ({
    put: (bytes: Uint8Array, segment: number) => memory.put(bytes, segment),
    delete: (reference: string) => memory.delete(reference),
    get: async (reference: string) => {
      const bytes = await memory.get(reference);
      if (reference === ref!.reference) bytes[bit >> 3]! ^= 1 << (bit & 7);
      return bytes;
    },
  });
  for (const bit of [0, 400, 8 * good.length - 1]) {
    await assert.rejects(
      CodeIndex.open(manifest, optionsOf(flipping(bit))),
      (error) => isError(error, INDEX.SEGMENT_DAMAGED) && error.details.segment === 0,
    );
    const opened = await CodeIndex.open(manifest, { ...optionsOf(flipping(bit)), copies: [memory] });
    assert.deepEqual(opened.root(), index.root());
    const report = await opened.scrub();
    assert.deepEqual([report.damagedInStore, report.damagedInMemory], [[0], []]);
    const change = await opened.repair(report.damagedInStore);
    assert.equal(change.manifest.root, manifest.root);
    assert.notEqual(change.manifest.segments[0]!.reference, ref!.reference);
    await change.abort();
  }
  // One bit of one old code in memory: the digest sees it, and no proof is given over it.
  index.segments()[0]!.columns.codes[80]! ^= 4;
  assert.deepEqual((await index.scrub()).damagedInMemory, [0]);
  await assert.rejects(index.repair([0]), is(INDEX.SEGMENT_DAMAGED));
  const other = await reopen(index, memory);
  other.segments()[0]!.columns.codes[80]! ^= 4;
  await assert.rejects(other.erase([idIn(batch, 10)], 1n), is(INDEX.SEGMENT_DAMAGED));
  assert.throws(() => other.prove(idIn(batch, 10)), is(INDEX.SEGMENT_DAMAGED));
});

test('a manifest that is not of its segments is refused', async () => {
  const { index, store } = await madeUpIndex(30);
  const manifest = index.manifest();
  const open = (changes: object): Promise<CodeIndex> =>
    CodeIndex.open({ ...manifest, ...changes }, optionsOf(store));
  const [ref] = manifest.segments;
  for (const changes of [
    { root: '0'.repeat(64) },
    { size: 31 },
    { codeBits: 60 },
    { applied: '-1' },
    { ledgerVersion: 0 },
    { segments: [{ ...ref!, rows: 31 }] },
    { segments: [ref!, ref!], size: 60 },
    { segments: [{ ...ref!, root: 'f'.repeat(64) }] },
  ]) {
    await assert.rejects(open(changes), is(INDEX.MANIFEST_INVALID), JSON.stringify(changes));
  }
  await assert.rejects(open({ classes: 11 }), is(INDEX.SEGMENT_DAMAGED));
  assert.throws(() => decodeManifest(new TextEncoder().encode('{"format": 1}')), is(INDEX.MANIFEST_INVALID));
});

test('a replica answers when it has applied the awaited fact, and says that it is behind otherwise', async () => {
  const { index, batch } = await madeUpIndex(10);
  assert.equal(index.applied, 1n);
  await index.waitFor(1n, 0);
  await assert.rejects(index.waitFor(5n, 5), is(INDEX.REPLICA_BEHIND));
  const waiting = index.waitFor(5n, 5_000);
  index.advance(4n);
  const change = await index.erase([idIn(batch, 0)], 5n, 5n);
  assert.equal(index.applied, 4n);
  await change.commit();
  await waiting;
  index.advance(2n);
  assert.equal(index.applied, 5n);
  assert.equal(index.manifest().applied, '5');
});

test('after an erasure, and after closing, no byte of code or salt is in memory', async () => {
  const { index, batch } = await madeUpIndex(64);
  const entry = index.entry(idIn(batch, 9));
  assert.ok(entry.kind === 'live');
  const old = index.memory();
  const holds = (needle: Uint8Array, memory: readonly { bytes: Uint8Array }[]): boolean =>
    memory.some(({ bytes }) => Buffer.from(bytes.buffer).indexOf(needle) !== -1);
  assert.ok(holds(entry.code, old) && holds(entry.salt, old));
  await (await index.erase([entry.itemId], 1n)).commit();
  for (const memory of [old, index.memory()]) {
    assert.ok(!holds(entry.code, memory));
    assert.ok(!holds(entry.salt, memory));
  }
  const other = codeIn(batch, 10);
  const present = index.memory();
  assert.ok(holds(other, present));
  index.close();
  assert.ok(!holds(other, present));
});

test('a commit that cannot delete says so and names the pieces: the change stands', async () => {
  class Stuck extends MemorySegments {
    override async delete(): Promise<void> {
      throw INDEX.STORE_FAILED('made up');
    }
  }
  const { index, batch } = await madeUpIndex(20, new Stuck());
  const change = await index.erase([idIn(batch, 1)], 2n);
  await assert.rejects(change.commit(), (error) => {
    assert.ok(isError(error, INDEX.SUPERSEDED_LEFT));
    assert.equal(error.details.references, change.superseded[0]!.reference);
    return true;
  });
  assert.equal(index.live, 19);
});

test('a table that has no room refuses before the manifest is handed out', async () => {
  class Full extends PlainTable {
    full = false;
    override reserve(items: number): void {
      if (this.full) throw HASHING.TABLE_FULL('made up');
      super.reserve(items);
    }
  }
  const tables: Full[] = [];
  const store = new MemorySegments();
  const table = (codeBits: number) => {
    const one = new Full(codeBits);
    tables.push(one);
    return one;
  };
  const { index } = await madeUpIndex(20, store, { ...optionsOf(store), table });
  tables[0]!.full = true;
  await assert.rejects(index.append(madeUpBatch(5, seededRandom('more'))), is(HASHING.TABLE_FULL));
  assert.deepEqual(await sweep(store, index.manifest()), []);
  tables[0]!.full = false;
  await (await index.append(madeUpBatch(5, seededRandom('more')))).commit();
  assert.equal(index.live, 25);
});

test('a closed index refuses, its waiters end, and sequences that no manifest holds are refused', async () => {
  const { index, batch } = await madeUpIndex(20);
  for (const sequence of [-1n, 2n ** 64n]) {
    await assert.rejects(
      index.append(madeUpBatch(5, seededRandom('more')), sequence),
      is(INDEX.OPTION_INVALID),
    );
  }
  const waiting = assert.rejects(index.waitFor(99n, 2 ** 31), is(INDEX.CLOSED));
  index.close();
  await waiting;
  assert.throws(() => index.search(new Uint8Array(8), 3), is(INDEX.CLOSED));
  assert.throws(() => index.indexOf(idIn(batch, 1)), is(INDEX.CLOSED));
  await assert.rejects(index.append(batch), is(INDEX.CLOSED));
});

test('Buffers are copied: a batch that the caller uses again, and a store that gives Buffers', async () => {
  class Buffers extends MemorySegments {
    override async get(reference: string): Promise<Uint8Array> {
      const bytes = await super.get(reference);
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
  }
  const store = new Buffers();
  const made = CodeIndex.create({ ...optionsOf(store), ...WIDTHS });
  const plain = madeUpBatch(50, seededRandom('buffers'));
  const batch = { ...plain, ids: Buffer.from(plain.ids), codes: Buffer.from(plain.codes) };
  const change = await made.append(batch, 1n);
  batch.codes.fill(0xff);
  await change.commit();
  assert.ok(batch.codes.every((byte) => byte === 0xff));
  assert.equal(made.search(codeIn(plain, 0), 1)[0]!.distance, 0);
  const index = await reopen(made, store);
  const entry = index.entry(idIn(plain, 7));
  const reencoding = await index.reencode([{ itemId: entry.itemId, code: new Uint8Array(8).fill(0xee) }], 9);
  assert.deepEqual(index.entry(entry.itemId), entry);
  await reencoding.abort();
  assert.deepEqual(index.entry(entry.itemId), entry);
});
