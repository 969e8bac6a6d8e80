/**
 * Brings ONNX' own node tests (Debian's libonnx-testdata, 6 MB) into the cache of the repository:
 *
 *   node test/tools/onnx-testdata.ts
 *
 * The package is unpacked, not installed; it needs a Debian machine's apt-get and dpkg-deb, but not root.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

const NODE_TESTS = 'usr/share/libonnx-testdata/data/node';
const cache = (root: string): string => join(root, '.cache/onnx-testdata');

/** The directory of the node tests. @throws with the command that brings them */
export function findOnnxTestData(root: string): string {
  const directory = join(cache(root), NODE_TESTS);
  if (existsSync(join(directory, 'test_add/model.onnx'))) return directory;
  throw new Error(
    `ONNX' node tests are not in ${directory}: run  node test/tools/onnx-testdata.ts  (on Debian, with its package sources)`,
  );
}

export function fetchOnnxTestData(root: string): void {
  const directory = cache(root);
  if (existsSync(join(directory, NODE_TESTS, 'test_add/model.onnx'))) return;
  mkdirSync(directory, { recursive: true });
  execFileSync('apt-get', ['download', '-q', 'libonnx-testdata'], { cwd: directory, stdio: 'inherit' });
  const [archive] = globSync('libonnx-testdata_*.deb', { cwd: directory });
  if (!archive) throw new Error('apt-get downloaded no libonnx-testdata: run apt-get update as root first');
  execFileSync('dpkg-deb', ['-x', archive, '.'], { cwd: directory, stdio: 'inherit' });
}

if (import.meta.main) fetchOnnxTestData(new URL('../..', import.meta.url).pathname);
