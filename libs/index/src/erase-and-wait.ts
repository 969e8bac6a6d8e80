/** A process that appends, aborts an append, erases and waits, for a test that looks at its memory. Says its needles masked. */
import { randomBytes } from 'node:crypto';
import { seededRandom } from '@lethe/std';
import { idIn, madeUpBatch } from './fixture.ts';
import { CodeIndex, MemorySegments } from './index.ts';

const ROWS = 2000;
const widths = { codeBits: 256, classes: 8 };
const masked: Record<string, string> = {};
/** Never the bytes themselves, not even as text. */
const note = (name: string, bytes: Uint8Array): void => {
  masked[name] = Array.from(bytes, (byte, i) => (byte ^ (i + 1)).toString(16).padStart(2, '0')).join('');
};

/** Not the source of `@lethe/std`, which may keep what it drew ahead. */
const random = {
  ...seededRandom('unused'),
  kind: 'secure' as const,
  bytes: (count: number) => {
    const bytes = randomBytes(count);
    if (count === ROWS * 32) note('salt', bytes.subarray(7 * 32, 8 * 32));
    return bytes;
  },
};
const index = CodeIndex.create({ store: new MemorySegments(), random, ...widths });
const batchOf = (count: number, name: string, row: number) => {
  const codes = randomBytes(32 * count);
  note(name, codes.subarray(32 * row, 32 * (row + 1)));
  return { ...madeUpBatch(count, seededRandom(name), widths), codes };
};

const kept = randomBytes(32 * ROWS);
note('control', kept.subarray(32 * 9, 32 * 10));
const batch = batchOf(ROWS, 'code', 7);
await (await index.append(batch)).commit();
batch.codes.fill(0);
const other = batchOf(100, 'aborted code', 3);
await (await index.append(other)).abort();
other.codes.fill(0);
await (await index.erase([idIn(batch, 7)], 1n)).commit();
process.stdout.write(`${JSON.stringify(masked)}\n`);
process.stdin.on('data', () => process.exit(kept[0] === undefined ? 1 : 0));
