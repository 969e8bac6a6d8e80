import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { fromHex, seededRandom } from '@lethe/std';
import { codeIn, idIn, madeUpBatch, optionsOf, WIDTHS } from './fixture.ts';
import { CodeIndex, MemorySegments } from './index.ts';

const WINDOW = 8 * 1024 * 1024;

/** In how many places of the process's readable memory each of the byte strings lies. */
function occurrences(pid: number, needles: Readonly<Record<string, Uint8Array>>): Record<string, number> {
  const found = Object.fromEntries(Object.keys(needles).map((name) => [name, 0]));
  const memory = fs.openSync(`/proc/${pid}/mem`, 'r');
  const window = Buffer.alloc(WINDOW);
  for (const line of fs.readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
    const [, from, to, access] = /^([0-9a-f]+)-([0-9a-f]+) (\S+)/.exec(line) ?? [];
    if (!access?.startsWith('r') || /\[v(var|syscall|dso)/.test(line)) continue;
    const end = Number.parseInt(to!, 16);
    for (let at = Number.parseInt(from!, 16); at < end; at += WINDOW - 31) {
      let read = 0;
      try {
        read = fs.readSync(memory, window, 0, Math.min(WINDOW, end - at), at);
      } catch {
        // A mapping of a device, for example.
        break;
      }
      const bytes = window.subarray(0, read);
      for (const [name, needle] of Object.entries(needles)) {
        for (let i = bytes.indexOf(needle); i !== -1; i = bytes.indexOf(needle, i + 1)) found[name]!++;
      }
    }
  }
  fs.closeSync(memory);
  return found;
}

test('after the commit of an erasure no memory of the process holds the code, the salt, or the code of an aborted append', async (context: TestContext) => {
  if (process.platform !== 'linux') return context.skip('reads /proc of another process');
  const script = fileURLToPath(new URL('./erase-and-wait.ts', import.meta.url));
  const child = spawn(process.execPath, [script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const gone = once(child, 'close');
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  const masked = JSON.parse(said.toString()) as Record<string, string>;
  const needles = Object.fromEntries(
    Object.entries(masked).map(([name, text]) => [name, fromHex(text).map((byte, i) => byte ^ (i + 1))]),
  );
  const found = occurrences(child.pid!, needles);
  child.stdin.write('\n');
  await gone;
  assert.ok(found.control! >= 1, 'the scan sees memory');
  assert.deepEqual({ ...found, control: 1 }, { salt: 0, control: 1, code: 0, 'aborted code': 0 });
});

test('salts that the index draws are overwritten once they are in a segment', async () => {
  const drawn: Uint8Array[] = [];
  const source = seededRandom('drawn');
  const random = {
    ...optionsOf(new MemorySegments()).random,
    kind: source.kind,
    bytes: (count: number) => {
      const bytes = source.bytes(count);
      drawn.push(bytes);
      return bytes;
    },
  };
  const index = CodeIndex.create({ store: new MemorySegments(), random, ...WIDTHS });
  const batch = madeUpBatch(50, seededRandom('batch'));
  await (await index.append(batch)).commit();
  await (await index.reencode([{ itemId: idIn(batch, 3), code: codeIn(batch, 4) }], 2)).commit();
  assert.deepEqual(
    drawn.map(({ length }) => length),
    [50 * 32, 32],
  );
  assert.ok(drawn.every((bytes) => bytes.every((byte) => byte === 0)));
});
