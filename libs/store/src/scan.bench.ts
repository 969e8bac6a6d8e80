/** `node libs/store/src/scan.bench.ts`: megabytes a second over random and over sparse bytes, with 5,000 needles. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seededRandom } from '@lethe/std';
import { scan } from './scan.ts';

const BYTES = 128 * 1024 * 1024;
const random = seededRandom('scan.bench');
const directory = mkdtempSync(join(tmpdir(), 'lethe-scan-bench-'));
try {
  const needles = Array.from({ length: 5_000 }, () => ({ kind: 'n', bytes: random.bytes(32) }));
  for (const [what, content] of [
    ['random', random.bytes(BYTES)],
    ['zeros', new Uint8Array(BYTES)],
  ] as const) {
    writeFileSync(join(directory, 'f'), content);
    await scan([directory], needles);
    const { bytes, milliseconds } = await scan([directory], needles);
    console.log(`${what}: ${(bytes / 1e3 / milliseconds).toFixed(0)} MB/s`);
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
