/**
 * Lifelong retrieval: classes arrive task by task, items with the first task that has one of their labels; queries are held out by
 * group and never seen in any fit.
 *
 * An item comes with all its labels, as in DLCH, where an item is new if it carries a new label. R[t][k] is the mAP, after task t, of
 * the queries that arrive with task k, over the stored items of tasks 0..k: the collection of row k is fixed, so what changes along t
 * is the doing of the method and not of a growing collection. For t < k the items of later tasks are encoded by the function of t.
 */
import type { ScoreMatrix } from '../versions/continual.ts';
import { averageScore, backwardTransfer, forgetting, forwardTransfer } from '../versions/continual.ts';
import { meanOf, rankingQuality } from './relevance.ts';

/** Items of several views in several modalities; a group (an icon with its pictures and its text) is never split. */
export interface EvaluationSet {
  /** Names of the classes; labels are indices into them. */
  readonly classes: readonly string[];
  /** Labels by group. */
  readonly labels: readonly (readonly number[])[];
  /** inputs [groups, views, width]. */
  readonly modalities: Readonly<
    Record<string, { readonly inputs: Uint8Array; readonly width: number; readonly views: number }>
  >;
}

/** Groups by arrival. `taskPlan` of libs/datasets makes such plans. */
export interface LifelongPlan {
  readonly tasks: readonly {
    readonly classes: readonly number[];
    readonly items: readonly number[];
    /** Groups that are stored instead of those that are learned from, as when a function meets items it has not learned. */
    readonly stored?: readonly number[];
  }[];
  readonly heldOut: readonly number[];
  /** Task of `heldOut[i]`. */
  readonly arrivals: readonly number[];
}

/** Items of one modality, with their labels. */
export interface LabelledItems {
  readonly inputs: Uint8Array;
  readonly labels: readonly (readonly number[])[];
  /** Group of each item: pictures and texts of one group are a pair, for methods that need pairs. */
  readonly groups: readonly number[];
}

export interface Task {
  readonly index: number;
  /** Classes that are new with this task, by index into the set's classes. */
  readonly classes: readonly number[];
  readonly items: Readonly<Record<string, LabelledItems>>;
}

/** What the harness needs of a method. It is made anew for every run. */
export interface LifelongMethod {
  readonly name: string;
  readonly codeBits: number;
  /** Whether stored codes come from the records alone or from their labels too. Never compare the two as equals. */
  readonly databaseCodes: 'network' | 'label';
  /** Every stored code is computed anew after each fit. */
  readonly reencodesOld: boolean;
  fit(task: Task): void | Promise<void>;
  /** Codes to be stored for items. @returns [n, codeBits / 8] */
  encodeNew(modality: string, items: LabelledItems): Uint8Array | Promise<Uint8Array>;
  /** Codes of queries, whose labels nobody knows. @param inputs [n, width]  @returns [n, codeBits / 8] */
  query(modality: string, inputs: Uint8Array): Uint8Array | Promise<Uint8Array>;
  /**
   * Instead of `query`, where queries meet items by codes made for the version that stored them; not with `reencodesOld`.
   * @returns codes for items stored after task 0, 1, … and the newest
   */
  queryByTask?(modality: string, to: string, inputs: Uint8Array): readonly Uint8Array[];
}

export interface DirectionReport {
  /** `image->text`: queries are pictures, items texts. */
  readonly direction: string;
  /** mAP@all after the last task, of all queries, of those that carry a class of the last task, and of the others. */
  readonly overall: number;
  readonly newClasses: number;
  readonly oldClasses: number;
  /** Mean nDCG by number of shared labels, all queries. */
  readonly gain: number;
  readonly scores: ScoreMatrix;
  readonly average: number;
  readonly forgetting: number;
  readonly backwardTransfer: number;
  /** Against the mAP of a random order, which is the expectation of a function that learned nothing. */
  readonly forwardTransfer: number;
}

export interface ProtocolReport {
  readonly method: string;
  readonly databaseCodes: 'network' | 'label';
  readonly directions: readonly DirectionReport[];
}

/** Views of the groups in one modality, view by view within a group. */
export function itemsOf(set: EvaluationSet, modality: string, groups: readonly number[]): LabelledItems {
  const { inputs, width, views } = set.modalities[modality]!;
  const size = views * width;
  const out = new Uint8Array(groups.length * size);
  for (const [at, group] of groups.entries()) {
    out.set(inputs.subarray(group * size, (group + 1) * size), at * size);
  }
  const repeated = groups.flatMap((group) => new Array<number>(views).fill(group));
  return { inputs: out, groups: repeated, labels: repeated.map((group) => set.labels[group]!) };
}

const concat = (parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

/** One distance for all items: mAP of a random order in expectation. */
const blank = (labels: readonly (readonly number[])[]) => ({ codes: new Uint8Array(labels.length), labels });

/** @param directions pairs [modality of queries, modality of items] */
export async function runProtocol(
  set: EvaluationSet,
  plan: LifelongPlan,
  method: LifelongMethod,
  directions: readonly (readonly [string, string])[],
): Promise<ProtocolReport> {
  const names = Object.keys(set.modalities);
  const steps = plan.tasks.length;
  const itemsBy = (groups: readonly number[]) =>
    Object.fromEntries(names.map((name) => [name, itemsOf(set, name, groups)]));
  const learned = plan.tasks.map(({ items }) => itemsBy(items));
  const arriving = plan.tasks.map(({ stored }, t) => (stored ? itemsBy(stored) : learned[t]!));
  const queries = Object.fromEntries(names.map((name) => [name, itemsOf(set, name, plan.heldOut)]));
  const arrivals = new Map(plan.heldOut.map((group, i) => [group, plan.arrivals[i]!]));
  const encode = (name: string, task: number) => method.encodeNew(name, arriving[task]![name]!);
  const stored: Record<string, Uint8Array[]> = Object.fromEntries(names.map((name) => [name, []]));
  const scores = directions.map(() => [] as number[][]);
  const last = new Set(plan.tasks.at(-1)!.classes);
  const reports: DirectionReport[] = [];
  for (let t = 0; t < steps; t++) {
    await method.fit({ index: t, classes: plan.tasks[t]!.classes, items: learned[t]! });
    const current: Record<string, Uint8Array[]> = {};
    for (const name of names) {
      const from = method.reencodesOld ? 0 : t;
      for (let s = from; s <= t; s++) stored[name]![s] = await encode(name, s);
      current[name] = stored[name]!.slice();
      for (let s = t + 1; s < steps; s++) current[name].push(await encode(name, s));
    }
    for (const [d, [from, to]] of directions.entries()) {
      const { labels, groups, inputs } = queries[from]!;
      const asked = method.queryByTask?.(from, to, inputs) ?? [await method.query(from, inputs)];
      const bytes = method.codeBits / 8;
      const all = [...labels.keys()];
      /** Queries `at` over the stored items of tasks 0..k. */
      const rank = (at: readonly number[], k: number) => {
        const codesOf = (codes: Uint8Array) =>
          concat(at.map((i) => codes.subarray(i * bytes, (i + 1) * bytes)));
        const gallery = arriving.slice(0, k + 1);
        const codes = asked.map(codesOf);
        const newest = codes.length - 1;
        const versions = Uint8Array.from(
          gallery.flatMap((task, s) => task[to]!.labels.map(() => Math.min(s, newest))),
        );
        return rankingQuality(
          { codes: codes[newest]!, labels: at.map((i) => labels[i]!) },
          {
            codes: concat(current[to]!.slice(0, k + 1)),
            labels: gallery.flatMap((task) => task[to]!.labels),
          },
          method.codeBits,
          { codes, versions },
        );
      };
      const row = plan.tasks.map((_, k) => {
        const at = all.filter((i) => arrivals.get(groups[i]!) === k);
        return meanOf(rank(at, k).averagePrecision);
      });
      scores[d]!.push(row);
      if (t < steps - 1) continue;
      const quality = rank(all, steps - 1);
      const isNew = (i: number) => labels[i]!.some((label) => last.has(label));
      const chance = plan.tasks.map((_, k) => {
        const gallery = arriving.slice(0, k + 1).flatMap((task) => task[to]!.labels);
        const some = labels.filter((_, i) => arrivals.get(groups[i]!) === k);
        return meanOf(rankingQuality(blank(some), blank(gallery), 8).averagePrecision);
      });
      reports.push({
        direction: `${from}->${to}`,
        overall: meanOf(quality.averagePrecision),
        newClasses: meanOf(quality.averagePrecision, all.filter(isNew)),
        oldClasses: meanOf(
          quality.averagePrecision,
          all.filter((i) => !isNew(i)),
        ),
        gain: meanOf(quality.gain),
        scores: scores[d]!,
        average: averageScore(scores[d]!),
        forgetting: forgetting(scores[d]!),
        backwardTransfer: backwardTransfer(scores[d]!),
        forwardTransfer: forwardTransfer(scores[d]!, chance),
      });
    }
  }
  return { method: method.name, databaseCodes: method.databaseCodes, directions: reports };
}
