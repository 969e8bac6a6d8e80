/** DLCH as published (`deep/published.ts`) as a method of the harness: pictures paired with the text of their group. */
import { packCode } from '../codebook.ts';
import type {
  DeepEngine,
  DeepItems,
  DeepSpec,
  PublishedOptions,
  PublishedRun,
  PublishedState,
} from '../deep/index.ts';
import { deepCodes, incrementPublished, publishedDatabaseCodes, trainPublished } from '../deep/index.ts';
import type { LabelledItems, LifelongMethod, Task } from './protocol.ts';

export interface PublishedMethodOptions {
  /** The modality with several views first, then the one that each of them is paired with. */
  readonly spec: DeepSpec;
  readonly options: PublishedOptions;
  readonly seed: string;
  readonly engine: DeepEngine;
  readonly classes: number;
}

/** Bytes as floats around 0, of a size near 1. */
export const floatsOf = (bytes: Uint8Array): Float32Array =>
  Float32Array.from(bytes, (byte) => (byte - 128) / 64);

/** @param codes [n, K] of +1 and -1  @returns [n, K / 8] */
export function packRows(codes: Int8Array, codeBits: number): Uint8Array {
  const rows = Array.from({ length: codes.length / codeBits }, (_, i) =>
    packCode(codes.subarray(i * codeBits, (i + 1) * codeBits)),
  );
  return new Uint8Array(Buffer.concat(rows));
}

/** Every view of the first modality with the item of its group in the second. */
export function pairedItems(spec: DeepSpec, task: Task): DeepItems {
  const [many, one] = spec.modalities as [DeepSpec['modalities'][number], DeepSpec['modalities'][number]];
  const views = task.items[many.name]!;
  const partners = task.items[one.name]!;
  const { width } = one;
  const rowOf = new Map(partners.groups.map((group, row) => [group, row]));
  const other = new Uint8Array(views.groups.length * width);
  for (const [at, group] of views.groups.entries()) {
    const row = rowOf.get(group)!;
    other.set(partners.inputs.subarray(row * width, (row + 1) * width), at * width);
  }
  return {
    inputs: { [many.name]: floatsOf(views.inputs), [one.name]: floatsOf(other) },
    labels: views.labels,
  };
}

/** Both kinds of stored codes over one training, in turn: what the first has trained by a task the second reads. */
export function publishedMethods(setup: PublishedMethodOptions): LifelongMethod[] {
  const states: PublishedState[] = [];
  return (['label', 'network'] as const).map((databaseCodes) =>
    publishedMethod(setup, databaseCodes, states),
  );
}

/**
 * Stored codes of kind
 * `label`    as published: sign(B_x + B_y), which training made from the labels; 0 is stored as -1
 * `network`  the networks' own, as those of the other methods
 */
function publishedMethod(
  setup: PublishedMethodOptions,
  databaseCodes: 'label' | 'network',
  states: PublishedState[],
): LifelongMethod {
  const { spec, classes, engine } = setup;
  const { codeBits } = spec;
  const many = spec.modalities[0]!.name;
  const run: PublishedRun = setup;
  let state: PublishedState | undefined;
  /** Records of a group, in order of views. */
  const records = new Map<number, number[]>();

  const network = async (modality: string, inputs: Uint8Array) =>
    packRows(await deepCodes(engine, spec, state!.parameters, modality, floatsOf(inputs)), codeBits);
  const stored = (items: LabelledItems): Uint8Array => {
    const all = publishedDatabaseCodes(state!);
    const taken = new Map<number, number>();
    const codes = items.groups.map((group) => {
      const view = taken.get(group) ?? 0;
      taken.set(group, view + 1);
      const record = records.get(group)![view]!;
      return packCode(all.subarray(record * codeBits, (record + 1) * codeBits));
    });
    return new Uint8Array(Buffer.concat(codes));
  };
  return {
    name: `DLCH as published (${databaseCodes} codes)`,
    codeBits,
    databaseCodes,
    reencodesOld: false,
    fit: async (task) => {
      const before = state?.items.labels.length ?? 0;
      for (const [at, group] of task.items[many]!.groups.entries()) {
        records.set(group, [...(records.get(group) ?? []), before + at]);
      }
      states[task.index] ??= state
        ? await incrementPublished(run, state, pairedItems(spec, task), classes)
        : await trainPublished(run, pairedItems(spec, task), classes);
      state = states[task.index]!;
    },
    // Items of tasks to come have no code of training yet: the network's stands in for the row of transfer forward.
    encodeNew: async (modality, items) =>
      databaseCodes === 'label' && items.groups.every((group) => records.has(group))
        ? stored(items)
        : network(modality, items.inputs),
    query: network,
  };
}
