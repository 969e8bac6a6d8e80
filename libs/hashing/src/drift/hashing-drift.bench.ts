/**
 * The drift bar on real digits: `node libs/hashing/src/drift/hashing-drift.bench.ts [--json]`. A short run of `drift.sim.ts`.
 *
 * bar  a new class at 5 % of traffic is found within two windows of 4,096, and at most one false alarm in 1e5 windows: for the counted detectors the computed bound of the worst of
 *      50 references, for the novelty statistic its nominal level, if the measured tail at 1e-3 is not above nominal by more than twice. `drift.sim.ts` draws 3e5 windows
 * baseline  the best detector without novelty, in the same traffic: alarms of the counted detectors alone
 */
import { availableParallelism, cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { detection, falseAlarms } from './drift-simulation.fixture.ts';
import { DEFAULT_DRIFT } from './reference.ts';

const { values: flags } = parseArgs({ options: { json: { type: 'boolean', default: false } } });
const alarms = falseAlarms(5_000);
const found = detection(3);
const tail = Math.max(...alarms.noveltyTailOverNominal.map((row) => row[1]!));
const result = {
  bench: 'hashing-drift',
  machine: { cpu: cpus()[0]?.model, cores: availableParallelism(), load: loadavg() },
  falseAlarms: {
    bar: DEFAULT_DRIFT.falseAlarmsPerWindow,
    countedBoundMax: alarms.exactBoundMax,
    noveltyNominal: alarms.noveltyNominal,
    noveltyTailOverNominalAt1e3: tail,
    windowsDrawn: alarms.windows,
    looksWithAlarm: alarms.looksWithCountedAlarm + alarms.looksWithNoveltyAlarm,
    met: alarms.exactBoundMax + alarms.noveltyNominal <= DEFAULT_DRIFT.falseAlarmsPerWindow && tail <= 2,
  },
  newClass: {
    bar: 'found within two windows in at least 95 % of trials',
    share: found.share,
    trials: found.trials,
    found: found.foundWithinTwoWindows,
    rate95: found.rate95,
    baselineFoundWithoutNovelty: found.foundWithoutNovelty,
    met: found.rate >= 0.95,
  },
};
if (flags.json) console.log(JSON.stringify(result));
else console.log(JSON.stringify(result, null, 2));
