import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ensurePlatformStreams, MemoryBus, recordSubject, STREAMS } from '@lethe/events';
import { concatBytes, seededRandom } from '@lethe/std';
import { filePlant, streamPlant } from './plants.ts';
import { type Needle, piecesOf, provenScan, scan } from './scan.ts';

const MiB = 1024 * 1024;
const brief = { patienceMs: 300 };

function inDirectory(body: (directory: string) => Promise<void>) {
  return async () => {
    const directory = mkdtempSync(join(tmpdir(), 'lethe-scan-'));
    try {
      await body(directory);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  };
}

test(
  'needles at both ends, across the borders of reads and in deep folders are all found, once each',
  inDirectory(async (directory) => {
    const random = seededRandom('scan');
    const haystack = random.bytes(9 * MiB + 77);
    const lengths = [8, 9, 16, 31, 32, 64, 700];
    const offsets = [0, 1_000, 4 * MiB - 5, 4 * MiB - 8, 4 * MiB - 31, 8 * MiB - 1, 8 * MiB - 699];
    const needles: Needle[] = lengths.map((length) => ({ kind: `n${length}`, bytes: random.bytes(length) }));
    for (const border of offsets) {
      for (const needle of needles) {
        const copy = haystack.slice();
        copy.set(needle.bytes, Math.min(border, copy.length - needle.bytes.length));
        mkdirSync(join(directory, 'a', 'b'), { recursive: true });
        writeFileSync(join(directory, 'a', 'b', 'file'), copy);
        const { found, bytes, files, hits } = await scan([directory], needles);
        const expected = Object.fromEntries(needles.map(({ kind }) => [kind, kind === needle.kind ? 1 : 0]));
        assert.deepEqual(found, expected, `length ${needle.bytes.length} at ${border}`);
        assert.deepEqual(
          { bytes, files, offset: hits[0]?.offset },
          { bytes: copy.length, files: 1, offset: border },
        );
      }
    }
    const tail = needles.at(-1) as Needle;
    writeFileSync(join(directory, 'a', 'b', 'file'), concatBytes(haystack, tail.bytes));
    assert.equal((await scan([directory], needles)).found[tail.kind], 1, 'at the very end');
  }),
);

test(
  'a naive search agrees, over small alphabets where anchors repeat and needles overlap',
  inDirectory(async (directory) => {
    const random = seededRandom('naive');
    for (let round = 0; round < 40; round++) {
      const letters = 1 + random.below(3);
      const text = (length: number) => Uint8Array.from({ length }, () => random.below(letters));
      const hay = text(400 + random.below(400));
      const needles = Array.from({ length: 6 }, (_, i) => ({
        kind: `k${i}`,
        bytes: text(8 + random.below(9)),
      }));
      writeFileSync(join(directory, 'f'), hay);
      const expected = Object.fromEntries(
        needles.map(({ kind, bytes }) => {
          let count = 0;
          for (
            let at = Buffer.from(hay).indexOf(bytes);
            at >= 0;
            at = Buffer.from(hay).indexOf(bytes, at + 1)
          )
            count++;
          return [kind, count];
        }),
      );
      assert.deepEqual((await scan([directory], needles)).found, expected);
    }
  }),
);

test(
  'thousands of needles: each planted one is found, no other',
  inDirectory(async (directory) => {
    const random = seededRandom('many');
    const needles = Array.from({ length: 5_000 }, (_, i) => ({
      kind: i % 100 === 0 ? 'planted' : 'absent',
      bytes: random.bytes(32),
    }));
    const parts = needles.filter(({ kind }) => kind === 'planted').map(({ bytes }) => bytes);
    writeFileSync(join(directory, 'f'), concatBytes(...parts.flatMap((part) => [random.bytes(1_000), part])));
    assert.deepEqual((await scan([directory], needles)).found, { planted: 50, absent: 0 });
  }),
);

test(
  'a long needle is found by a part of it; links are not followed; short needles and unreadable places are refused',
  inDirectory(async (directory) => {
    const bytes = seededRandom('long').bytes(500);
    writeFileSync(join(directory, 'f'), bytes.subarray(200, 400));
    symlinkSync(join(directory, 'f'), join(directory, 'link'));
    const { found, files } = await scan([directory], piecesOf('ciphertext', bytes));
    assert.deepEqual({ found, files }, { found: { ciphertext: 1 }, files: 1 });
    assert.deepEqual((await scan([join(directory, 'absent')], piecesOf('x', bytes))).files, 0);
    await assert.rejects(scan([join(directory, 'f')], piecesOf('x', bytes)), /LETHE-2207/);
    await assert.rejects(scan([directory], [{ kind: 'x', bytes: new Uint8Array(7) }]), /LETHE-2209/);
  }),
);

test(
  'a scan proves itself: planted copies are found, then gone; what was looked for is reported',
  inDirectory(async (directory) => {
    const needles = piecesOf('ciphertext', seededRandom('victim').bytes(200));
    const proven = await provenScan([directory], needles, [
      filePlant('log', directory),
      filePlant('db', directory),
    ]);
    assert.deepEqual({ found: proven.plantedFound, left: proven.plantedLeft }, { found: 2, left: 0 });
    assert.equal(proven.report.found.ciphertext, 0);
    writeFileSync(join(directory, 'leak'), needles[0]?.bytes ?? '');
    const leaking = await provenScan([directory], needles, [filePlant('log', directory)], brief);
    assert.equal(leaking.report.found.ciphertext, 1);
  }),
);

test(
  'a scan that cannot see a store refuses, and a store that does not erase is reported',
  inDirectory(async (directory) => {
    const bus = new MemoryBus();
    await ensurePlatformStreams(bus);
    const elsewhere = streamPlant(bus, STREAMS.records, recordSubject('t', 'd', 'planted'));
    await assert.rejects(
      provenScan([directory], [], [filePlant('log', directory), elsewhere], brief),
      /LETHE-2208/,
    );
    assert.equal(
      (await bus.streamState(STREAMS.records)).messages,
      0,
      'the copy was taken back all the same',
    );
    const keeping = { ...filePlant('keeps', directory), remove: async () => {} };
    assert.equal((await provenScan([directory], [], [keeping], brief)).plantedLeft, 1);
  }),
);
