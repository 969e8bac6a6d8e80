/**
 * `npm run bench [-- WORD … [--OPTION …]]`: runs the measurements (`*.bench.ts`) whose path contains one of the words, one after the other, and says on
 * which machine. They are no tests: figures depend on what else the machine does.
 */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('../..', import.meta.url)));
const given = process.argv.slice(2);
const firstOption = given.findIndex((word) => word.startsWith('--'));
const words = firstOption < 0 ? given : given.slice(0, firstOption);
/** Handed on to the measurements; with `--json` each of those that know it prints one JSON document, and all else goes to standard error. */
const options = firstOption < 0 ? [] : given.slice(firstOption);
const say = options.includes('--json') ? console.error : console.log;
const benches = globSync(['libs/**/*.bench.ts', 'services/**/*.bench.ts'], {
  exclude: (path) => path.includes('node_modules'),
})
  .filter((path) => words.length === 0 || words.some((word) => path.includes(word)))
  .sort();
say(
  `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, load ${loadavg()[0]?.toFixed(2)}, Node ${process.version}`,
);
for (const path of benches) {
  say(`\n# ${path}`);
  const { status } = spawnSync(process.execPath, [path, ...options], { stdio: 'inherit' });
  if (status !== 0) process.exitCode = 1;
}
