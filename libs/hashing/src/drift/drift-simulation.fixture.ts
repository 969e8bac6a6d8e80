/**
 * False alarms and power of the drift detectors, on digits through the analytic tier; shared by `drift.sim.ts` and `hashing-drift.bench.ts`.
 *
 * exact      the distribution of traffic is the pool of digits that the function was not fitted on, so the true rate of every question is known and the probability of a count beyond its
 *            threshold is a binomial tail, computed and not drawn. Summed over questions and looks it bounds the false alarms per window of all
 *            counted detectors, given the reference; many references show how it varies
 * direct     windows drawn from the pool, every look judged (pairs of bits are in `exact` alone: counting them so often takes an hour): alarms, and the tail of the
 *            novelty statistic against chi-squared
 * detection  each digit held out in turn, then 5 % of traffic: found within two windows?
 * runs       traffic that comes in runs of one class, which is not what the thresholds are made for
 */
import { seededRandom } from '@lethe/std';
import { digits } from '../versions/digits.fixture.ts';
import { lowerTail, upperRateBound, upperTail } from './binomial.ts';
import { trafficWithout } from './drift.fixture.ts';
import { DriftMonitor } from './monitor.ts';
import { chiSquaredThreshold, noveltyStatistic } from './novelty.ts';
import { answers } from './profile.ts';
import type { DriftReference } from './reference.ts';
import { DEFAULT_DRIFT, driftReference, noveltyLevel } from './reference.ts';

const REFERENCES = 50;
const { window: WINDOW, stride: STRIDE, falseAlarmsPerWindow, referenceItemsMin } = DEFAULT_DRIFT;
const LOOKS = WINDOW / STRIDE;
const TAIL_LEVELS = [1e-2, 1e-3, 1e-4, 1e-5];

const data = digits(768, 'drift sim');
const traffic = trafficWithout(data, 9);
const { pool } = traffic;
const poolSize = pool.margins.length;

/** xoshiro128** (Blackman and Vigna 2018): 4e8 draws are too many for the keystream. */
function fastIndex(seed: string): () => number {
  const s = Uint32Array.from(
    { length: 4 },
    (
      (random) => () =>
        random.u32()
    )(seededRandom('drift sim', seed)),
  );
  return () => {
    const x = Math.imul(s[1]!, 5);
    const result = Math.imul((x << 7) | (x >>> 25), 9) >>> 0;
    const t = s[1]! << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= t;
    s[3] = (s[3]! << 11) | (s[3]! >>> 21);
    // Bias of the multiplication: poolSize / 2^32 of a draw, a millionth.
    return Math.floor((result / 2 ** 32) * poolSize);
  };
}

/** True rates of all questions in the pool, pairs included, and the answers of each item as flat lists. */
function poolAnswers({ profile }: DriftReference) {
  const rates = new Float64Array(profile.questions + profile.families.at(-1)!.length);
  const lists = Array.from(pool.margins, (margin, i) => answers(profile, pool.codes, 8 * i, margin));
  for (const { yes } of lists) for (const question of yes) rates[question]! += 1 / poolSize;
  for (let i = 0; i < poolSize; i++) {
    let pair = profile.questions;
    for (let a = 1; a < profile.codeBits; a++) {
      const bitA = (pool.codes[8 * i + (a >> 3)]! >> (a & 7)) & 1;
      for (let b = 0; b < a; b++, pair++) {
        if (bitA === ((pool.codes[8 * i + (b >> 3)]! >> (b & 7)) & 1)) rates[pair]! += 1 / poolSize;
      }
    }
  }
  const flat = (of: (item: (typeof lists)[number]) => readonly number[]) => {
    const ends = new Uint32Array(poolSize);
    const all = lists.flatMap((item, i) => {
      ends[i] = (ends[i - 1] ?? 0) + of(item).length;
      return of(item);
    });
    return { ends, all: Uint16Array.from(all) };
  };
  return { rates, yes: flat(({ yes }) => yes), novelty: flat(({ novelty }) => novelty) };
}

/** Union bound on the false alarms per window of the counted detectors, at the true rates. */
function exactBound(reference: DriftReference, rates: Float64Array): number {
  let sum = 0;
  rates.forEach((rate, q) => {
    const p = Math.min(1, rate);
    if (reference.high[q]! <= WINDOW) sum += upperTail(WINDOW, p, reference.high[q]!);
    if (reference.low[q]! >= 0) sum += lowerTail(WINDOW, p, reference.low[q]!);
  });
  return LOOKS * sum;
}

interface Counted {
  looks: number;
  countedAlarms: number;
  noveltyAlarms: number;
  /** Looks at one window, and at two, above the chi-squared quantile of each level. */
  readonly above: number[][];
  readonly sums: number[];
}

function direct(
  reference: DriftReference,
  known: ReturnType<typeof poolAnswers>,
  count: number,
  seed: string,
  out: Counted,
): void {
  const next = fastIndex(seed);
  const { questions, noveltyDim } = reference.profile;
  const quantiles = TAIL_LEVELS.map((level) => chiSquaredThreshold(level, reference.novelty.kept.length));
  const stretches = Array.from({ length: 2 * LOOKS }, () => ({
    counts: new Uint32Array(questions),
    novelty: new Float64Array(noveltyDim),
  }));
  const { yes, novelty } = known;
  for (let look = 0; look < count * LOOKS + 2 * LOOKS - 1; look++) {
    const stretch = stretches[look % stretches.length]!;
    stretch.counts.fill(0);
    stretch.novelty.fill(0);
    for (let i = 0; i < STRIDE; i++) {
      const item = next();
      for (let at = yes.ends[item - 1] ?? 0; at < yes.ends[item]!; at++) stretch.counts[yes.all[at]!]!++;
      for (let at = novelty.ends[item - 1] ?? 0; at < novelty.ends[item]!; at++)
        stretch.novelty[novelty.all[at]!]!++;
    }
    if (look < 2 * LOOKS - 1) continue;
    out.looks++;
    const recent = Array.from(
      { length: 2 * LOOKS },
      (_, back) => stretches[(look - back) % stretches.length]!,
    );
    let beyond = false;
    for (let q = 0; q < questions; q++) {
      let total = 0;
      for (let s = 0; s < LOOKS; s++) total += recent[s]!.counts[q]!;
      beyond ||= total <= reference.low[q]! || total >= reference.high[q]!;
    }
    if (beyond) out.countedAlarms++;
    let novel = false;
    for (const horizon of [1, 2]) {
      const sums = new Float64Array(noveltyDim);
      for (const { novelty: part } of recent.slice(0, horizon * LOOKS))
        part.forEach((value, i) => {
          sums[i]! += value;
        });
      const statistic = noveltyStatistic(reference.novelty, sums, horizon * WINDOW);
      out.sums[horizon - 1]! += statistic;
      quantiles.forEach((quantile, level) => {
        if (statistic > quantile) out.above[horizon - 1]![level]!++;
      });
      novel ||= statistic > reference.noveltyThreshold;
    }
    if (novel) out.noveltyAlarms++;
  }
}

/** @param windows drawn in all, over 50 references */
export function falseAlarms(windows: number) {
  const bounds: number[] = [];
  const out: Counted = {
    looks: 0,
    countedAlarms: 0,
    noveltyAlarms: 0,
    above: [1, 2].map(() => TAIL_LEVELS.map(() => 0)),
    sums: [0, 0],
  };
  let degrees = 0;
  for (let r = 0; r < REFERENCES; r++) {
    const reference = driftReference(
      traffic.draw(referenceItemsMin, seededRandom('drift sim reference', r)),
      traffic.fn.codebook,
    );
    const known = poolAnswers(reference);
    bounds.push(exactBound(reference, known.rates));
    direct(reference, known, Math.ceil(windows / REFERENCES), `windows ${r}`, out);
    degrees = reference.novelty.kept.length;
  }
  const drawn = out.looks / LOOKS;
  return {
    falseAlarmsPerWindowAllowed: falseAlarmsPerWindow,
    references: REFERENCES,
    exactBoundMean: bounds.reduce((a, b) => a + b, 0) / REFERENCES,
    exactBoundMax: Math.max(...bounds),
    windows: drawn,
    /** Without pairs of bits: those are in the exact bound alone. */
    looksWithCountedAlarm: out.countedAlarms,
    looksWithNoveltyAlarm: out.noveltyAlarms,
    /** Of what is drawn, so without pairs. One-sided 95 % bound, a window a trial; windows of one of the 50 references share its error, which this bound does not know. */
    falseAlarmsPerWindowAtMost: rareRateBound(drawn, out.countedAlarms + out.noveltyAlarms),
    /** Level of the novelty statistic summed over looks and horizons. */
    noveltyNominal: 2 * LOOKS * noveltyLevel(DEFAULT_DRIFT),
    noveltyDegrees: degrees,
    noveltyMean: out.sums.map((sum) => sum / out.looks),
    /** Share of looks above the quantile, over the level: 1 is nominal. */
    noveltyTailOverNominal: out.above.map((row) =>
      row.map((count, i) => count / out.looks / TAIL_LEVELS[i]!),
    ),
  };
}

/** 95 % upper bound of a rate below 1e-2 from many trials; the law of rare counts lets the trials be scaled to what the tails take. */
function rareRateBound(trials: number, count: number): number {
  const scaled = Math.min(trials, 2 ** 16);
  return (upperRateBound(scaled, Math.min(count, scaled), 0.05) * scaled) / trials;
}

/** @param repeats for each of the ten digits */
export function detection(repeats: number) {
  const rows = data.names.map((name, heldOut) => {
    const each = trafficWithout(data, heldOut);
    const found: number[] = [];
    let early = 0;
    let counted = 0;
    for (let repeat = 0; repeat < repeats; repeat++) {
      const random = seededRandom('drift sim detection', heldOut, repeat);
      const monitor = new DriftMonitor(
        driftReference(each.draw(referenceItemsMin, random), each.fn.codebook),
      );
      if (monitor.observe(each.draw(2 * WINDOW, random)).some(({ drifted }) => drifted)) early++;
      const reports = monitor.observe(each.drawMixed(2 * WINDOW, 0.05, random));
      const first = reports.find(({ drifted }) => drifted);
      if (reports.some(({ alarms }) => alarms.some((alarm) => alarm !== 'novelty'))) counted++;
      if (first) found.push(first.items - 2 * WINDOW);
    }
    found.sort((a, b) => a - b);
    return {
      heldOut: name,
      repeats,
      found: found.length,
      medianItems: found[found.length >> 1] ?? Number.NaN,
      counted,
      falseBefore: early,
    };
  });
  const trials = rows.length * repeats;
  const hits = rows.reduce((sum, { found }) => sum + found, 0);
  return {
    share: 0.05,
    trials,
    foundWithinTwoWindows: hits,
    foundWithoutNovelty: rows.reduce((sum, { counted }) => sum + counted, 0),
    rate: hits / trials,
    rate95: [1 - upperRateBound(trials, trials - hits, 0.025), upperRateBound(trials, hits, 0.025)],
    rows,
  };
}

export function runs() {
  const reference = driftReference(
    traffic.draw(referenceItemsMin, seededRandom('drift sim runs')),
    traffic.fn.codebook,
  );
  const byClass = Map.groupBy(traffic.poolLabels.keys(), (i) => traffic.poolLabels[i]!);
  return [1, 2, 4, 16].map((length) => {
    const random = seededRandom('drift sim runs', length);
    const monitor = new DriftMonitor(reference);
    // A run's class is that of a random item, so the mix of classes is unchanged.
    const order = Array.from({ length: (25 * WINDOW) / length }, () => {
      const label = traffic.poolLabels[random.below(poolSize)]!;
      const members = byClass.get(label)!;
      return Array.from({ length }, () => members[random.below(members.length)]!);
    }).flat();
    const codes = Uint8Array.from(order.flatMap((i) => [...pool.codes.subarray(8 * i, 8 * i + 8)]));
    const reports = monitor.observe({ codes, margins: Float64Array.from(order, (i) => pool.margins[i]!) });
    const mean = (of: (report: (typeof reports)[number]) => number) =>
      reports.reduce((sum, report) => sum + of(report), 0) / reports.length;
    return {
      runLength: length,
      looks: reports.length,
      looksWithAlarm: reports.filter(({ drifted }) => drifted).length,
      dispersion: mean(({ figures }) => figures.dispersion),
    };
  });
}
