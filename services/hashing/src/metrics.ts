/**
 * Continual-learning metrics: after each promotion that learned, a row of scores, one for each group of classes that arrived together.
 *
 * Probes are one live item for each person, drawn by item id, encoded by the version; they rank the stored codes of everybody else in the
 * same sample. Both sides were learned, so the level is that of members; what the figures tell is its change from version to version.
 * The row that learns a task also has what the version before made of it (all items encoded by it) and what random weights do.
 *
 * A score is kept only where at least `probesMin` persons are behind it, and is a mean: an erasure leaves the rows that are there, and
 * every later row is measured without the person. A crash between the promotion and the row loses the row; the next one has its tasks.
 */
import { EVENT, type events, type hashing } from '@lethe/contracts';
import { type AggregateStore, effectId, newEvent } from '@lethe/events';
import type { HashFunction } from '@lethe/hashing';
import { seededRandom } from '@lethe/std';
import { gauge } from '@lethe/telemetry';
import type { HashingContext } from './context.ts';
import { figuresOf, type hashWatch, tasksOf, type WatchAggregate } from './domain/watch.ts';
import type { Address } from './functions.ts';
import type { Learned } from './learned.ts';
import {
  encodedBy,
  meanMeasured,
  onePerPerson,
  precisions,
  type SampledItem,
  sampledItems,
} from './probes.ts';

export type Watches = AggregateStore<WatchAggregate, (typeof hashWatch.events)[number]>;

export const PROBES_MAX = 500;

const UNIT = { unit: '1' };
const GAUGES = {
  average: gauge('lethe.hashing.average_score', {
    ...UNIT,
    description: 'mean average precision over the tasks, after the newest version that learned',
  }),
  forgetting: gauge('lethe.hashing.forgetting', {
    ...UNIT,
    description: 'mean loss of earlier tasks against their best score',
  }),
  backwardTransfer: gauge('lethe.hashing.backward_transfer', {
    ...UNIT,
    description: 'mean change of earlier tasks since they were learned',
  }),
  forwardTransfer: gauge('lethe.hashing.forward_transfer', {
    ...UNIT,
    description: 'mean gain of later tasks over random weights, before they were learned',
  }),
} as const;

/** A function that has learned nothing: random weights, the same in every process. */
function unlearned(fn: HashFunction): HashFunction {
  const bytes = seededRandom('lethe/hashing/untrained', fn.features.seed).bytes(4 * fn.weights.length);
  // A sum of four uniform draws: near enough to Gaussian for random hyperplanes.
  const draw = (_: number, i: number): number =>
    bytes[4 * i]! + bytes[4 * i + 1]! + bytes[4 * i + 2]! + bytes[4 * i + 3]! - 510;
  return { ...fn, weights: Float64Array.from(fn.weights, draw) };
}

/** Scores of a version by task. @param before the version that it was learned from; undefined for the first */
export async function measure(
  learned: Learned,
  before: Learned | undefined,
  tasks: ReturnType<typeof tasksOf>,
  options: {
    readonly excluded: ReadonlySet<string>;
    readonly probesMin: number;
    readonly learnsTask: boolean;
  },
): Promise<hashing.TaskScore[]> {
  const items = await sampledItems(learned, options.excluded);
  const probes = onePerPerson(items, PROBES_MAX);
  const functions = learned.head.parts.map(({ fn }) => fn);
  const asked = await encodedBy(functions, probes);
  const questionsOf = (encoded: readonly SampledItem[], classes: readonly number[]) =>
    encoded.filter(({ labels }) => labels.some((label) => classes.includes(label)));
  const score = async (
    encoded: readonly SampledItem[],
    gallery: readonly SampledItem[],
    classes: readonly number[],
  ): Promise<number | undefined> => {
    const values = await precisions(questionsOf(encoded, classes), gallery, learned.codeBits);
    return meanMeasured(values, options.probesMin);
  };
  const everything = async (by: readonly HashFunction[], classes: readonly number[]) => {
    const gallery = await encodedBy(by, items);
    return await score(onePerPerson(gallery, PROBES_MAX), gallery, classes);
  };
  const out: hashing.TaskScore[] = [];
  for (const [at, { classes, sinceVersion }] of tasks.entries()) {
    const learnsNow = options.learnsTask && at === tasks.length - 1;
    out.push({
      classes: [...classes],
      sinceVersion,
      probes: questionsOf(asked, classes).length,
      score: await score(asked, items, classes),
      before:
        learnsNow && before
          ? await everything(
              before.head.parts.map(({ fn }) => fn),
              classes,
            )
          : undefined,
      baseline: learnsNow ? await everything(functions.map(unlearned), classes) : undefined,
    });
  }
  return out;
}

/** Appends the row of a version, once, and shows the figures. Nothing depends on it: what fails is a warning. */
export async function measurePromotion(
  { watches, masks, probesMin, logger }: HashingContext,
  address: Address,
  before: Learned | undefined,
  learned: Learned,
): Promise<void> {
  const release = learned.hold();
  try {
    const { state } = await watches.load(address.tenant, address.id);
    if (state.rows.some(({ version }) => version === learned.version)) return;
    const tasks = tasksOf(state, learned.classes, learned.version);
    const learnsTask = tasks.length > (state.rows.at(-1)?.tasks.length ?? 0);
    const excluded = masks.of(address.tenant);
    const row: events.HashMeasured = {
      function: address.name,
      version: learned.version,
      root: learned.head.root,
      tasks: await measure(learned, before, tasks, { excluded, probesMin, learnsTask }),
    };
    const eventId = effectId(`${address.name}|${learned.version}`, EVENT.hashMeasured.type);
    const after = await watches.propose(address.tenant, address.id, ({ rows }) =>
      rows.some(({ version }) => version >= row.version) ? [] : [newEvent(EVENT.hashMeasured, row, eventId)],
    );
    show(address, after.state);
  } catch (error) {
    logger.warn('a promotion was not measured', { function: address.name, error });
  } finally {
    release();
  }
}

function show({ name }: Address, state: WatchAggregate): void {
  const figures = figuresOf(state);
  for (const [key, set] of Object.entries(GAUGES)) {
    const value = figures[key as keyof typeof GAUGES];
    if (value !== undefined) set(value, { function: name });
  }
}
