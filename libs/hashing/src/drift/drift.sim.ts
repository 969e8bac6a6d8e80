/**
 * False alarms and power of the drift detectors: `node libs/hashing/src/drift/drift.sim.ts [windows] [repeats] [--json]`. What the figures mean: `drift-simulation.fixture.ts`.
 */
import { parseArgs } from 'node:util';
import { detection, falseAlarms, runs } from './drift-simulation.fixture.ts';

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean', default: false } },
});
const windows = Number(positionals[0] ?? 100_000);
const repeats = Number(positionals[1] ?? 20);
const result = { falseAlarms: falseAlarms(windows), detection: detection(repeats), runs: runs() };
console.log(flags.json ? JSON.stringify(result) : JSON.stringify(result, null, 2));
