/**
 * Retrieval while versions coexist, on the digits: `node libs/hashing/src/versions/hashing-versions.bench.ts [--json]`.
 *
 * Four versions; each learned two or three more digits from their records alone, and encoded the records that came then. Queries of all ten digits against all codes:
 *
 *     stale         queries and all codes by the first version, which knew four digits
 *     newest        queries by the newest version against codes as they were stored, plain distances
 *     fan-out       queries by every version against its own codes, merged by tail probability
 *     other bits    as newest, but every second version has half of its bits negated: as good by itself, another geometry
 *     re-encoded    queries and all codes by the newest version
 *
 * Fan-out is the same with and without the negation: each version is asked in its own bits. It is what remains where the gate holds a version; where the codebook is fixed and
 * the gate lets the newest version ask, that is better.
 *
 * Null distances come from a probe set apart from queries and items.
 */
import { availableParallelism, cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { concatBytes } from '@lethe/std';
import type { HashFunction } from '../function.ts';
import { distance } from '../hamming.ts';
import type { LabelledCodes } from '../metrics.ts';
import { averagePrecisions, expectedAveragePrecision, meanAveragePrecision } from '../metrics.ts';
import { CODE_BITS, digits } from './digits.fixture.ts';
import { nullDistances, tailProbabilities } from './fan-out.ts';

const { values: flags } = parseArgs({ options: { json: { type: 'boolean', default: false } } });
const SEEDS = 5;
const ARRIVALS = [
  [0, 1, 2, 3],
  [4, 5],
  [6, 7],
  [8, 9],
];
const BYTES = CODE_BITS / 8;

/** Mean AP over items ranked by p-value, tie-aware: items of equal p are one group. */
function fanOutMap(
  parts: readonly { queries: LabelledCodes; items: LabelledCodes; tail: Float64Array }[],
): number {
  const groups = [...new Set(parts.flatMap(({ tail }) => [...tail]))].sort((a, b) => a - b);
  const groupOf = new Map(groups.map((p, i) => [p, i]));
  const ranks = parts.map(({ tail }) => Array.from(tail, (p) => groupOf.get(p)!));
  const { labels } = parts[0]!.queries;
  const precisions = Float64Array.from(labels, (label, q) => {
    const sizes = new Uint32Array(groups.length);
    const relevant = new Uint32Array(groups.length);
    parts.forEach(({ queries, items }, part) => {
      items.labels.forEach((itemLabel, i) => {
        const group = ranks[part]![distance(queries.codes, q * BYTES, items.codes, i * BYTES, BYTES)]!;
        sizes[group]!++;
        if (itemLabel === label) relevant[group]!++;
      });
    });
    return expectedAveragePrecision(sizes, relevant);
  });
  return meanAveragePrecision(precisions, labels);
}

function run(seed: number) {
  const data = digits(512, `versions bench ${seed}`);
  const all = [...data.labels.keys()];
  const [queries, probe, records] = [all.slice(0, 1_000), all.slice(1_000, 2_000), all.slice(2_000)];
  const arrivals = ARRIVALS.map((classes) => records.filter((item) => classes.includes(data.labels[item]!)));
  const fns: HashFunction[] = ARRIVALS.map((_, t) => data.fit(arrivals.slice(0, t + 1).flat(), t + 1));
  const [first, newest] = [fns[0]!, fns.at(-1)!];
  const stored = fns.map((fn, t) => data.encode(fn, arrivals[t]!));
  const join = (parts: readonly LabelledCodes[]): LabelledCodes => ({
    codes: concatBytes(...parts.map(({ codes }) => codes)),
    labels: Int32Array.from(parts.flatMap(({ labels }) => [...labels])),
  });
  // The newest version is number 4 and keeps its bits; versions 1 and 3 are negated.
  const negated = stored.map(({ codes, labels }, t) => ({
    codes: t % 2 === 0 ? codes.map((byte) => byte ^ 0x55) : codes,
    labels,
  }));
  const plain = (query: HashFunction, items: LabelledCodes) => {
    const asked = data.encode(query, queries);
    return meanAveragePrecision(averagePrecisions(asked, items, CODE_BITS), asked.labels);
  };
  const parts = fns.map((fn, t) => {
    const known = ARRIVALS.slice(0, t + 1).flat();
    const probed = data.encode(fn, probe);
    const gallery = data.encode(
      fn,
      probe.filter((item) => known.includes(data.labels[item]!)),
    );
    return {
      queries: data.encode(fn, queries),
      items: stored[t]!,
      tail: tailProbabilities(nullDistances(probed, gallery, CODE_BITS)),
    };
  });
  return {
    stale: plain(first, data.encode(first, arrivals.flat())),
    newest: plain(newest, join(stored)),
    otherBits: plain(newest, join(negated)),
    fanOut: fanOutMap(parts),
    reencoded: plain(newest, data.encode(newest, arrivals.flat())),
  };
}

const runs = Array.from({ length: SEEDS }, (_, seed) => run(seed));
const figure = (of: (r: (typeof runs)[number]) => number) => {
  const values = runs.map(of).sort((a, b) => a - b);
  return { mean: values.reduce((a, b) => a + b, 0) / SEEDS, min: values[0]!, max: values.at(-1)! };
};
const result = {
  bench: 'hashing-versions',
  machine: { cpu: cpus()[0]?.model, cores: availableParallelism(), load: loadavg() },
  seeds: SEEDS,
  mapAtAll: {
    stale: figure(({ stale }) => stale),
    newestAgainstStored: figure(({ newest }) => newest),
    newestAgainstOtherBits: figure(({ otherBits }) => otherBits),
    fanOut: figure(({ fanOut }) => fanOut),
    reencoded: figure(({ reencoded }) => reencoded),
  },
};
if (flags.json) console.log(JSON.stringify(result));
else console.table(result.mapAtAll);
