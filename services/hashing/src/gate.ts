/**
 * The gate before a learned version serves: does it hurt the retrieval of what is stored? The test is `decidePromotion` of
 * `libs/hashing`; here it gets its probes, and a decision where they are too few.
 *
 * Nothing is held out of learning for it, so that what a function learns stays a function of the records alone. Queries are live items,
 * one for each person and at most 500 of a stored version, drawn by item id; a query ranks the probes of its own version without those
 * of its person. By the live version its code is the stored one, by the candidate that of its sealed features: no old weights are needed.
 *
 * Queries of both sides were learned, and a version flatters its members the more the fewer they were. So an update that brings many
 * records loses figures on its predecessors' members while it gets better for everybody else: `gate-members.sim.ts` of `libs/hashing` has
 * how much, and the default epsilon is for updates that double the records. It is a gate against breakage and no measure of progress.
 */
import { hashing } from '@lethe/contracts';
import {
  type CompatibilityMatrix,
  DEFAULT_GATE,
  decidePromotion,
  type GateReport,
  type HashFunction,
  meanAveragePrecision,
} from '@lethe/hashing';
import { labelsOfBits } from './domain/blocks.ts';
import { openBlock } from './erase.ts';
import { breathe } from './learn.ts';
import type { Learned } from './learned.ts';
import { encodedBy, idText, onePerPerson, precisions, type SampledItem, sampledItems } from './probes.ts';

/** Loss of mAP that counts as none, where a specification says nothing. */
export const EPSILON_DEFAULT = 0.05;

const QUERIES_MAX = 500;
/** Blocks that are read for a version of which the sample has too few. */
const BLOCKS_MAX = 4;
/** Items that are ranked for a version. */
const GALLERY_MAX = 4_096;

const Verdict = hashing.GateReport_Verdict;
const { KIND_STORED, KIND_HOME } = hashing.GateComparison_Kind;

type Options = Pick<hashing.PromotionGate, 'epsilon' | 'require' | 'reportOnly'>;

/** Functions of releases without a gate are compared and never held. */
export const gateOptions = (gate: hashing.PromotionGate | undefined): Options =>
  gate
    ? { ...gate, epsilon: gate.epsilon || EPSILON_DEFAULT }
    : { epsilon: EPSILON_DEFAULT, require: false, reportOnly: true };

/** Whether a candidate with this report must not serve unless an operator says so. */
export const isHeld = ({ verdict }: hashing.GateReport, { require, reportOnly }: Options): boolean =>
  !reportOnly && (verdict === Verdict.VERDICT_FAILED || (require && verdict === Verdict.VERDICT_UNTESTED));

export const firstVersion = (version: number, { epsilon }: Options): hashing.GateReport => ({
  version,
  verdict: Verdict.VERDICT_FIRST_VERSION,
  reasons: ['No code is stored yet.'],
  comparisons: [],
  epsilon,
  confidenceLevel: DEFAULT_GATE.confidenceLevel,
  untestedVersions: [],
});

/**
 * What the gate says of a candidate. A function of the stored items, the candidate's weights and who is excluded: asked again after a
 * crash, it says the same.
 * @param functions the candidate's, by modality number  @param excluded persons who are contained
 */
export async function judge(
  live: Learned,
  functions: readonly HashFunction[],
  excluded: ReadonlySet<string>,
  options: Options,
): Promise<hashing.GateReport> {
  const candidate = live.version + 1;
  const stored = [...new Set(live.head.live.codes.map(({ version }) => version))];
  if (stored.length === 0) return firstVersion(candidate, options);
  const probes = await probesOf(live, stored, excluded);
  const versions: VersionPrecisions[] = [];
  const untested: number[] = [];
  for (const version of stored) {
    const measured = await measure(live, functions, version, probes.get(version) ?? []);
    if (queriesIn(measured) < DEFAULT_GATE.queriesMin) untested.push(version);
    else versions.push(measured);
  }
  const { epsilon } = options;
  const report =
    versions.length === 0
      ? undefined
      : decidePromotion(
          matrixOf(versions, candidate),
          candidate,
          versions.map(({ version }) => version),
          { ...DEFAULT_GATE, epsilon },
        );
  const lacking = untested.map(
    (version) =>
      `Not enough probes: fewer than ${DEFAULT_GATE.queriesMin} persons have items of version ${version}.`,
  );
  return {
    version: candidate,
    verdict: verdictOf(report, untested.length),
    reasons: [...(report?.reasons ?? []), ...lacking],
    comparisons:
      report?.comparisons.map(({ kind, ...rest }) => ({
        ...rest,
        kind: kind === 'stored' ? KIND_STORED : KIND_HOME,
      })) ?? [],
    epsilon,
    confidenceLevel: DEFAULT_GATE.confidenceLevel,
    untestedVersions: untested,
  };
}

function verdictOf(report: GateReport | undefined, untested: number): hashing.GateReport_Verdict {
  if (report?.promote === false) return Verdict.VERDICT_FAILED;
  return untested > 0 ? Verdict.VERDICT_UNTESTED : Verdict.VERDICT_PASSED;
}

/** Average precision of the queries of one stored version, three times over the same queries. */
interface VersionPrecisions {
  readonly version: number;
  /** Queries and codes as stored. */
  readonly stored: Float64Array;
  /** Queries by the candidate, codes as stored. */
  readonly asked: Float64Array;
  /** Both by the candidate. */
  readonly home: Float64Array;
}

const queriesIn = ({ stored }: VersionPrecisions): number =>
  stored.filter((value) => !Number.isNaN(value)).length;

async function measure(
  live: Learned,
  functions: readonly HashFunction[],
  version: number,
  probes: readonly SampledItem[],
): Promise<VersionPrecisions> {
  const queries = onePerPerson(probes, QUERIES_MAX);
  const newest = await encodedBy(functions, probes);
  const byId = new Map(newest.map((item) => [idText(item), item]));
  const asked = queries.map((item) => byId.get(idText(item))!);
  return {
    version,
    stored: await precisions(queries, probes, live.codeBits),
    asked: await precisions(asked, probes, live.codeBits),
    home: await precisions(asked, newest, live.codeBits),
  };
}

/** Items of each stored version: of the random sample, and where it has too few of a version, of the blocks that hold it. */
async function probesOf(
  live: Learned,
  stored: readonly number[],
  excluded: ReadonlySet<string>,
): Promise<Map<number, SampledItem[]>> {
  const probes = Map.groupBy(await sampledItems(live, excluded), ({ fnVersion }) => fnVersion);
  for (const version of stored) {
    const sampled = probes.get(version) ?? [];
    const there = live.head.live.codes
      .filter((entry) => entry.version === version)
      .reduce((sum, { codes }) => sum + codes, 0);
    if (sampled.length >= there || onePerPerson(sampled, QUERIES_MAX).length === QUERIES_MAX) continue;
    probes.set(version, await moreProbes(live, version, sampled, excluded));
  }
  return probes;
}

async function moreProbes(
  live: Learned,
  version: number,
  sampled: readonly SampledItem[],
  excluded: ReadonlySet<string>,
): Promise<SampledItem[]> {
  const out = new Map(sampled.map((item) => [idText(item), item]));
  const perPart = Math.ceil(BLOCKS_MAX / live.head.parts.length);
  for (const [part, { blocks }] of live.head.parts.entries()) {
    const holding = blocks.filter(({ first, last }) =>
      live.holdsVersion(part, first, last, (of) => of === version),
    );
    for (const ref of holding.slice(0, perPart)) {
      const { positions, labels, labelBytes, features, featureDim } = await openBlock(live, ref);
      for (const [row, position] of positions.entries()) {
        if (out.size >= GALLERY_MAX) break;
        const item = live.liveAt(position);
        if (item.fnVersion !== version || excluded.has(item.owner)) continue;
        const own = labelsOfBits(labels.subarray(row * labelBytes, (row + 1) * labelBytes));
        const taken = features.subarray(row * featureDim, (row + 1) * featureDim);
        out.set(idText(item), { ...item, part, labels: own, features: taken });
      }
      await breathe();
    }
  }
  return [...out.values()];
}

/**
 * The matrix that the test takes, with the queries of all versions one after the other; a cell has figures for the queries of its
 * gallery's version alone. The candidate's own cell is measured on the newest tested version's probes.
 */
function matrixOf(measured: readonly VersionPrecisions[], candidate: number): CompatibilityMatrix {
  const total = measured.reduce((sum, { stored }) => sum + stored.length, 0);
  const starts = measured.map((_, i) =>
    measured.slice(0, i).reduce((sum, { stored }) => sum + stored.length, 0),
  );
  const row = (i: number, values: Float64Array): Float64Array => {
    const out = new Float64Array(total).fill(Number.NaN);
    out.set(values, starts[i]!);
    return out;
  };
  const nothing = new Float64Array(total).fill(Number.NaN);
  const last = measured.length - 1;
  const precisionRows = [
    ...measured.map((version, i) => [
      ...measured.map((_, j) => (i === j ? row(i, version.stored) : nothing)),
      nothing,
    ]),
    [...measured.map(({ asked }, i) => row(i, asked)), row(last, measured[last]!.home)],
  ];
  const mean = (values: Float64Array) => meanAveragePrecision(values, new Int32Array(total));
  return {
    versions: [...measured.map(({ version }) => version), candidate],
    precisions: precisionRows,
    values: precisionRows.map((cells) => cells.map(mean)),
  };
}
