/** What is known about a function besides its versions: scores after each learning, and drift. The fold of events of its own. Pure. */
import { common, EVENT, type events, hashing } from '@lethe/contracts';
import { defineAggregate } from '@lethe/events';
import { averageScore, backwardTransfer, forgetting, forwardTransfer } from '@lethe/hashing';
import { LetheError } from '@lethe/std';

export interface WatchAggregate {
  /** Oldest first. */
  readonly rows: readonly events.HashMeasured[];
  readonly drifts: readonly (events.HashDrifted & { readonly timeMs: number })[];
}

export const hashWatch = defineAggregate({
  type: 'hash-watch',
  events: [EVENT.hashMeasured, EVENT.hashDrifted],
  initial: (): WatchAggregate => ({ rows: [], drifts: [] }),
  fold: (state, event): WatchAggregate =>
    event.type === 'hash.measured'
      ? { ...state, rows: [...state.rows, event.data] }
      : { ...state, drifts: [...state.drifts, { ...event.data, timeMs: event.timeMs }] },
});

/** Classes that arrived together. */
export interface Task {
  readonly classes: readonly number[];
  readonly sinceVersion: number;
}

/** Tasks that are known, and one of the classes that are new, if there are any. @param classes of live items, ascending */
export function tasksOf({ rows }: WatchAggregate, classes: readonly number[], version: number): Task[] {
  const known = rows.at(-1)?.tasks ?? [];
  const seen = new Set(known.flatMap((task) => task.classes));
  const fresh = classes.filter((label) => !seen.has(label));
  return [...known, ...(fresh.length > 0 ? [{ classes: fresh, sinceVersion: version }] : [])];
}

/**
 * R of the literature: a row for each number of tasks, which is the newest that was measured with so many (a version that brought no
 * new class replaces the row before). NaN where nothing was measured; above the diagonal only the score just before the task was
 * learned is known.
 */
function matrixOf({ rows }: WatchAggregate): { scores: number[][]; baseline: number[] } {
  const count = rows.at(-1)?.tasks.length ?? 0;
  const steps = Array.from({ length: count }, (_, i) => rows.findLast(({ tasks }) => tasks.length === i + 1));
  const scores = steps.map((row) =>
    Array.from({ length: count }, (_, task) => row?.tasks[task]?.score ?? Number.NaN),
  );
  const baseline = Array.from<number>({ length: count }).fill(Number.NaN);
  for (const { tasks } of rows) {
    const [newest, at] = [tasks.at(-1), tasks.length - 1];
    if (newest?.baseline === undefined) continue;
    baseline[at] = newest.baseline;
    if (at > 0) scores[at - 1]![at] = newest.before ?? Number.NaN;
  }
  return { scores, baseline };
}

export type Figures = Pick<
  hashing.HashMetrics,
  'average' | 'forgetting' | 'backwardTransfer' | 'forwardTransfer'
>;

/** Figures of the literature over what was measured; one is undefined while a score that it needs is missing. */
export function figuresOf(state: WatchAggregate): Figures {
  const { scores, baseline } = matrixOf(state);
  return {
    average: measured(() => averageScore(scores)),
    forgetting: measured(() => forgetting(scores)),
    backwardTransfer: measured(() => backwardTransfer(scores)),
    forwardTransfer: measured(() => forwardTransfer(scores, baseline)),
  };
}

/**
 * Average compatibility over the pairs (later t, earlier g) that the gates compared: the share with C[t][g] > C[g][g], both on the same
 * queries and codes (Biondi et al., Stationary Representations, CVPR 2024, Eq. 2, which has every pair; here one is missing where the codes of g
 * were of too few persons, or were gone).
 */
export function compatibilityOf(
  gates: readonly hashing.GateReport[],
): Pick<hashing.HashMetrics, 'averageCompatibility' | 'comparedPairs'> {
  const stored = gates.flatMap(({ comparisons }) =>
    comparisons.filter(({ kind }) => kind === hashing.GateComparison_Kind.KIND_STORED),
  );
  const better = stored.filter(({ difference }) => difference > 0).length;
  return {
    comparedPairs: stored.length,
    averageCompatibility: stored.length === 0 ? undefined : better / stored.length,
  };
}

function measured(figure: () => number): number | undefined {
  try {
    return figure();
  } catch (error) {
    if (error instanceof LetheError && error.code === 'LETHE-3441') return undefined;
    throw error;
  }
}

/**
 * A condition while there is drift that no learning has answered yet.
 * @param since version that learned last  @param isLearning whether a root is being learned
 */
export function driftConditions(
  { drifts }: WatchAggregate,
  since: number,
  isLearning: boolean,
): common.Condition[] {
  const open = drifts.filter(({ version }) => version >= since);
  const newest = open.at(-1);
  if (!newest) return [];
  const found = open.map(({ modality, alarms }) => `${modality}: ${alarms.join(', ')}`).join('; ');
  return [
    {
      type: 'Drifted',
      status: common.ConditionStatus.CONDITION_STATUS_TRUE,
      reason: isLearning ? 'UpdateRequested' : 'NewKindOfTraffic',
      message: `traffic is not what it was (${found}): ingest labelled records of the new kind, commit a root`,
      lastTransitionTime: new Date(newest.timeMs),
    },
  ];
}
