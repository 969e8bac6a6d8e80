/** Methods of the harness that need no network training: the analytic head in three policies, and random projections. */
import { seededRandom } from '@lethe/std';
import type { Codebook } from '../codebook.ts';
import { allocateClasses, emptyCodebook } from '../codebook.ts';
import type { CrossModalFunction, CrossModalOptions } from '../cross-modal.ts';
import { createCrossModalHead } from '../cross-modal.ts';
import type { QueryCodeOptions } from '../query-codes.ts';
import { learnedShares } from '../query-codes.ts';
import type { LifelongMethod, Task } from './protocol.ts';

/**
 * `lifelong`  old codes stay as they are
 * `full`      every code anew after each task. Its function is that of `lifelong`, by digest: the head has no other retraining
 * `stale`     the last task is not learned: its items and all queries meet the function of the task before
 */
export type AnalyticPolicy = 'lifelong' | 'full' | 'stale';

/** Items by class, up to the last class that one of them has. */
function countRows(labels: readonly (readonly number[])[]): number[] {
  const counts: number[] = [];
  for (const row of labels.flat()) counts[row] = (counts[row] ?? 0) + 1;
  return counts;
}

/**
 * @param names all classes; each gets its row when a first item carries it  @param tasks number of tasks that will come
 * @param queryCodes items are met by query codes for the version that stored them; not with `full`
 */
export function analyticMethod(
  policy: AnalyticPolicy,
  options: CrossModalOptions,
  {
    names,
    tasks,
    queryCodes,
  }: {
    names: readonly string[];
    tasks: number;
    queryCodes?: QueryCodeOptions;
  },
): LifelongMethod {
  const head = createCrossModalHead(options);
  let codebook: Codebook = emptyCodebook(options.codeBits);
  let sums = head.empty;
  let fn: CrossModalFunction | undefined;
  /** Items by task, modality and codebook row. */
  const counts: Record<string, number[]>[] = [];
  const fit = ({ index, classes, items }: Task): void => {
    if (policy === 'stale' && index === tasks - 1 && tasks > 1) return;
    const carried = Object.values(items).flatMap(({ labels }) => labels.flat());
    const order = [...new Set([...classes, ...carried.sort((a, b) => a - b)])];
    codebook = allocateClasses(
      codebook,
      order.map((label) => names[label]!),
    );
    const rows = new Map(codebook.classes.map((name, row) => [name, row]));
    const labelled = Object.fromEntries(
      Object.entries(items).map(([modality, { inputs, labels }]) => [
        modality,
        { inputs, labels: labels.map((of) => of.map((label) => rows.get(names[label]!)!)) },
      ]),
    );
    sums = head.add(sums, codebook, labelled);
    counts.push(
      Object.fromEntries(
        Object.entries(labelled).map(([modality, { labels }]) => [modality, countRows(labels)]),
      ),
    );
    fn = head.fit(sums, codebook, index + 1);
  };
  return {
    name: queryCodes ? `${policy}, query codes by version` : policy,
    codeBits: options.codeBits,
    databaseCodes: 'network',
    reencodesOld: policy === 'full',
    fit,
    encodeNew: (modality, { inputs }) => head.encode(fn!, modality, inputs),
    query: (modality, inputs) => head.encode(fn!, modality, inputs),
    ...(queryCodes && {
      queryByTask: (modality: string, to: string, inputs: Uint8Array) => {
        const byTask = counts.map((of) => codebook.classes.map((_, row) => of[to]![row] ?? 0));
        return head.queryCodes(fn!, modality, inputs, learnedShares(byTask), queryCodes);
      },
    }),
  };
}

/**
 * Signs of random ±1 projections of the encoder's centred bytes (Charikar 2002). Nothing ties the projections of two modalities, so
 * across modalities this is chance; within one it is a fair baseline.
 */
export function randomProjectionMethod(
  widths: Readonly<Record<string, number>>,
  { codeBits, seed }: { codeBits: number; seed: string },
): LifelongMethod {
  const planes = new Map(
    Object.entries(widths).map(([modality, width]) => {
      const random = seededRandom('lethe/hashing/lsh', seed, modality, width, codeBits);
      return [modality, Int8Array.from(random.bytes(width * codeBits), (byte) => (byte & 1 ? 1 : -1))];
    }),
  );
  const kept = new WeakMap<Uint8Array, Uint8Array>();
  const project = (modality: string, inputs: Uint8Array): Uint8Array => {
    const plane = planes.get(modality)!;
    const width = widths[modality]!;
    const codes = new Uint8Array(((inputs.length / width) * codeBits) / 8);
    for (let row = 0; row * width < inputs.length; row++) {
      for (let bit = 0; bit < codeBits; bit++) {
        let sum = 0;
        for (let i = 0; i < width; i++) sum += (inputs[row * width + i]! - 128) * plane[bit * width + i]!;
        if (sum > 0) codes[(row * codeBits + bit) >> 3]! |= 1 << (bit & 7);
      }
    }
    kept.set(inputs, codes);
    return codes;
  };
  const encode = (modality: string, inputs: Uint8Array): Uint8Array =>
    kept.get(inputs) ?? project(modality, inputs);
  return {
    name: 'random projections',
    codeBits,
    databaseCodes: 'network',
    reencodesOld: false,
    fit: () => {},
    encodeNew: (modality, { inputs }) => encode(modality, inputs),
    query: encode,
  };
}
