/**
 * `npm run generate`: protos → libs/contracts/gen. With `--check` it generates beside and says which file differs, which is
 * how the suite notices generated code that nobody regenerated.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

const ROOT = new URL('../..', import.meta.url).pathname;
const OUT = 'libs/contracts/gen';
const DESCRIPTORS = 'descriptor-set.binpb';

function generateInto(folder: string): void {
  const template = readFileSync(join(ROOT, 'buf.gen.yaml'), 'utf8').replace(OUT, folder);
  const scratch = mkdtempSync(join(tmpdir(), 'lethe-buf-'));
  const file = join(scratch, 'buf.gen.yaml');
  writeFileSync(file, template);
  execFileSync('buf', ['generate', '--template', file], { cwd: ROOT, stdio: 'inherit' });
  execFileSync('buf', ['build', '--as-file-descriptor-set', '-o', join(folder, DESCRIPTORS)], {
    cwd: ROOT,
    stdio: 'inherit',
  });
  rmSync(scratch, { recursive: true });
}

const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();

/** Names of files that differ between the committed and freshly generated code. */
export function drift(): string[] {
  const fresh = mkdtempSync(join(tmpdir(), 'lethe-gen-'));
  try {
    generateInto(fresh);
    const committed = join(ROOT, OUT);
    const names = [...new Set([...filesIn(fresh), ...filesIn(committed)])];
    return names.filter((name) => {
      try {
        return !readFileSync(join(fresh, name)).equals(readFileSync(join(committed, name)));
      } catch {
        return true;
      }
    });
  } finally {
    rmSync(fresh, { recursive: true });
  }
}

if (import.meta.main) {
  if (process.argv.includes('--check')) {
    const changed = drift();
    for (const name of changed)
      console.error(`${OUT}/${name} is not what the protos generate: run "npm run generate" and commit`);
    process.exitCode = changed.length > 0 ? 1 : 0;
  } else {
    generateInto(join(ROOT, OUT));
  }
}
