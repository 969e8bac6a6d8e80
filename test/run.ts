/**
 * `npm test`: everything that CI runs — lint, types, generated code, protos, unit, conformance and end-to-end tests — and a
 * closing line `N passed, N failed`.
 *
 *   --fast        unit tests of libs and services only
 *   --generate    regenerate code first (npm run all)
 *   PATTERN …     only test files whose path contains one of the patterns
 */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { finished } from 'node:stream/promises';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const ROOT = new URL('..', import.meta.url).pathname;
process.chdir(ROOT);
// Also when this is not started by npm: the tools are those of the repository.
process.env.PATH = `${ROOT}node_modules/.bin:${process.env.PATH}`;

const args = process.argv.slice(2);
const fast = args.includes('--fast');
const patterns = args.filter((arg) => !arg.startsWith('--'));
let passed = 0;
let failed = 0;

function step(name: string, command: string, ...parameters: string[]): void {
  const started = performance.now();
  const { status, stdout, stderr, error } = spawnSync(command, parameters, { encoding: 'utf8' });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  if (status === 0) {
    passed++;
    console.log(`✔ ${name} (${seconds} s)`);
  } else {
    failed++;
    console.log(`✖ ${name} (${seconds} s)\n${stdout}${stderr}${error?.message ?? ''}`);
  }
}

if (args.includes('--generate')) step('generate', 'node', 'test/tools/generate.ts');
if (patterns.length === 0) {
  step('types (tsc)', 'tsc', '--noEmit');
  step('format and lint (biome)', 'biome', 'ci', '.');
  if (!fast) {
    step('protos (buf lint)', 'buf', 'lint');
    step(
      'protos still speak to the last release (buf breaking)',
      'buf',
      'breaking',
      '--against',
      'test/golden/protos/v0.1.0.binpb',
    );
    step('generated code is what the protos generate', 'node', 'test/tools/generate.ts', '--check');
  }
}

const files = globSync(
  fast
    ? ['libs/**/*.test.ts', 'services/**/*.test.ts']
    : ['libs/**/*.test.ts', 'services/**/*.test.ts', 'test/**/*.test.ts'],
  {
    exclude: (path) => path.includes('node_modules'),
  },
)
  .filter((file) => patterns.length === 0 || patterns.some((pattern) => file.includes(pattern)))
  .sort();

// Two files at a time: the machine that we promise to run on has two cores. End-to-end tests run alone, because they start platforms
// and the demonstration measures what it promises.
const isEndToEnd = (file: string): boolean => file.startsWith('test/e2e/');
await runFiles(
  files.filter((file) => !isEndToEnd(file)),
  2,
);
await runFiles(files.filter(isEndToEnd), 1);
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;

async function runFiles(some: readonly string[], concurrency: number): Promise<void> {
  if (some.length === 0) return;
  const events = run({ files: some, concurrency, timeout: 600_000 });
  events.on('test:pass', (event) => {
    const isFile = some.some((file) => event.name.endsWith(file));
    if (event.details.type !== 'suite' && !isFile && event.skip === undefined) passed++;
  });
  events.on('test:fail', (event) => {
    if (event.details.type !== 'suite') failed++;
  });
  const report = events.compose(new spec());
  report.pipe(process.stdout, { end: false });
  await finished(report);
}
