/** Deep sessions (`deep/trainer.ts`) as methods of the harness: pictures paired with the text of their group. */
import { allocateClasses, emptyCodebook } from '../codebook.ts';
import type {
  CodeSums,
  DeepEngine,
  DeepItems,
  DeepOptions,
  DeepParameters,
  DeepSpec,
} from '../deep/index.ts';
import {
  addCodes,
  deepCodes,
  emptyCodeSums,
  hadamardRows,
  initialDeepParameters,
  trainDeepSession,
} from '../deep/index.ts';
import type { LabelledItems, LifelongMethod, Task } from './protocol.ts';
import { floatsOf, packRows, pairedItems } from './published-method.ts';

export interface DeepMethodOptions {
  /** The modality with several views first, then the one that each of them is paired with. */
  readonly spec: DeepSpec;
  /** Of a session over empty sums. */
  readonly options: DeepOptions;
  /** Of a session after others. */
  readonly increment: DeepOptions;
  readonly seed: string;
  readonly engine: DeepEngine;
  readonly classes: number;
  /** Number of tasks that will come. */
  readonly tasks: number;
}

/**
 * `lifelong`  a session over each task's records and the sums of the codes stored so far, which stay as they are
 * `full`      one session over all records after the last task, and every code anew. Until then its parameters are untrained: of its scores only those
 *             after the last task mean something
 */
export function deepMethod(policy: 'lifelong' | 'full', setup: DeepMethodOptions): LifelongMethod {
  const { spec, classes, engine } = setup;
  const { codeBits } = spec;
  const names = Array.from({ length: classes }, (_, c) => String(c));
  const classRows = hadamardRows(allocateClasses(emptyCodebook(codeBits), names));
  let sums: CodeSums = emptyCodeSums(codeBits, classes);
  let previous: DeepParameters | undefined;
  let records: DeepItems | undefined;

  const codesOf = (modality: string, inputs: Uint8Array) =>
    deepCodes(engine, spec, previous!, modality, floatsOf(inputs));
  const encode = async (modality: string, inputs: Uint8Array) =>
    packRows(await codesOf(modality, inputs), codeBits);
  const session = (items: DeepItems, index: number) => ({
    spec,
    classRows,
    old: sums,
    items,
    seed: `${setup.seed}/${index}`,
    engine,
  });
  const fit = async (task: Task): Promise<void> => {
    const items = pairedItems(spec, task);
    if (policy === 'full') {
      records = records ? joined(records, items) : items;
      previous = initialDeepParameters(spec, setup.seed);
      if (task.index < setup.tasks - 1) return;
      const outcome = await trainDeepSession({ ...session(records, task.index), options: setup.options });
      previous = outcome.parameters;
      return;
    }
    const outcome = await trainDeepSession(
      previous
        ? { ...session(items, task.index), options: setup.increment, previous }
        : { ...session(items, task.index), options: setup.options },
    );
    previous = outcome.parameters;
    for (const { name } of spec.modalities) {
      const { inputs, labels } = task.items[name]!;
      sums = addCodes(sums, { codes: await codesOf(name, inputs), labels });
    }
  };
  return {
    name: `deep, ${policy}`,
    codeBits,
    databaseCodes: 'network',
    reencodesOld: policy === 'full',
    fit,
    encodeNew: (modality, { inputs }: LabelledItems) => encode(modality, inputs),
    query: encode,
  };
}

function joined(a: DeepItems, b: DeepItems): DeepItems {
  const inputs = Object.entries(a.inputs).map(([name, rows]) => {
    const both = new Float32Array(rows.length + b.inputs[name]!.length);
    both.set(rows);
    both.set(b.inputs[name]!, rows.length);
    return [name, both] as const;
  });
  return { inputs: Object.fromEntries(inputs), labels: [...a.labels, ...b.labels] };
}
