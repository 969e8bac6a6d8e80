/** The two changes of a function's state: learning new records, and taking persons out. Pure but for processor time taken and breathing. */
import { byteMatrix, type DatasetSpec, decodeSpec, type Row, vectorWidth } from '@lethe/datasets';
import {
  addItems,
  allocateClasses,
  createFeatureMap,
  emptyCodebook,
  emptyStatistics,
  encodeFeatures,
  fitHashFunction,
  type HashFunction,
  ITEM_ID_BYTES,
  SALT_BYTES,
  subtractItems,
  targetsOf,
} from '@lethe/hashing';
import type { RandomSource } from '@lethe/std';
import { processorMs } from '@lethe/telemetry';
import { type FunctionState, type Item, liveItems } from './domain/state.ts';

/** Rows per step: tens of milliseconds, after which searches get their turn. */
const STEP_ROWS = 256;

const breathe = (): Promise<void> => new Promise((done) => setImmediate(done));

/** What a function is before it has seen a record; every declared class has its code from the beginning. */
export function emptyState(
  datasetSpec: Uint8Array,
  options: { seed: string; featureDim: number; codeBits: number; lambda: number },
): FunctionState {
  const spec = decodeSpec(datasetSpec);
  const { seed, featureDim, codeBits, lambda } = options;
  const features = createFeatureMap({ seed, featureDim, inputWidth: vectorWidth(spec) }).spec;
  const codebook = allocateClasses(emptyCodebook(codeBits), spec.label.classes);
  const weights = new Float64Array(featureDim * codeBits);
  return {
    root: '',
    lastPosition: 0,
    datasetSpec,
    fn: { features, codebook, lambda, version: 0, weights },
    statistics: emptyStatistics(featureDim, codeBits),
    entries: [],
  };
}

/** A labelled record and whose it is. */
export interface Example {
  readonly alias: string;
  readonly row: Row & { readonly label: number };
}

export interface LearnedRecords {
  readonly state: FunctionState;
  /** Features and sums. */
  readonly statisticsMs: number;
  readonly solveMs: number;
}

/**
 * The next version: sums of the new examples on top, weights solved anew, the new examples' codes appended. Entries that were
 * there are carried over as they are.
 */
export async function learnExamples(
  base: FunctionState,
  upTo: { readonly root: string; readonly lastPosition: number },
  examples: readonly Example[],
  random: RandomSource,
  onProgress: (done: number) => void,
): Promise<LearnedRecords> {
  const spec: DatasetSpec = decodeSpec(base.datasetSpec);
  const map = createFeatureMap(base.fn.features);
  let { statistics } = base;
  let statisticsMs = 0;
  const steps: { examples: readonly Example[]; features: Uint8Array }[] = [];
  for (let at = 0; at < examples.length; at += STEP_ROWS) {
    const step = examples.slice(at, at + STEP_ROWS);
    const inputs = byteMatrix(
      spec,
      step.map(({ row }) => row),
    );
    const startedMs = processorMs();
    const features = map.apply(inputs);
    const labels = Int32Array.from(step, ({ row }) => row.label);
    statistics = addItems(statistics, { features, targets: targetsOf(base.fn.codebook, labels) });
    statisticsMs += processorMs() - startedMs;
    steps.push({ examples: step, features });
    onProgress(at + step.length);
    await breathe();
  }
  const startedMs = processorMs();
  const fn = nextVersion(base.fn, statistics);
  const solveMs = processorMs() - startedMs;
  const entries = [...base.entries];
  for (const { examples: step, features } of steps) {
    await breathe();
    entries.push(...itemsOf(fn, step, features, random));
  }
  return { state: { ...base, ...upTo, fn, statistics, entries }, statisticsMs, solveMs };
}

const nextVersion = (fn: HashFunction, statistics: FunctionState['statistics']): HashFunction =>
  fitHashFunction(statistics, { ...fn, version: fn.version + 1 });

function itemsOf(
  fn: HashFunction,
  examples: readonly Example[],
  features: Uint8Array,
  random: RandomSource,
): Item[] {
  const { featureDim } = fn.features;
  const codeBytes = fn.codebook.codeBits / 8;
  const codes = encodeFeatures(fn, features);
  return examples.map(({ alias, row }, i) => ({
    kind: 'live',
    itemId: random.bytes(ITEM_ID_BYTES),
    fnVersion: fn.version,
    code: codes.slice(i * codeBytes, (i + 1) * codeBytes),
    salt: random.bytes(SALT_BYTES),
    label: row.label,
    alias,
    features: features.slice(i * featureDim, (i + 1) * featureDim),
  }));
}

export interface ErasedPersons {
  readonly state: FunctionState;
  /** Items that were taken out. */
  readonly erased: readonly Item[];
  readonly statisticsMs: number;
  readonly solveMs: number;
  readonly survivors: number;
  /** Survivors whose code by the new version is another than by the version before: what the persons' absence would change. */
  readonly churn: number;
  /** Survivors whose stored code is another than by the new version: churn, and what updates since then have changed. */
  readonly storedDiffer: number;
}

/**
 * The next version without these persons: their features subtracted from the sums exactly, weights solved anew, their entries
 * replaced. Survivors keep their codes; how many would now get another is counted.
 */
export async function erasePersons(
  base: FunctionState,
  aliases: ReadonlySet<string>,
): Promise<ErasedPersons> {
  const items = liveItems(base.entries);
  const erased = items.filter((item) => aliases.has(item.alias));
  const survivors = items.filter((item) => !aliases.has(item.alias));
  const startedMs = processorMs();
  const statistics = subtractItems(base.statistics, {
    features: featureRows(erased, base.fn.features.featureDim),
    targets: targetsOf(
      base.fn.codebook,
      Int32Array.from(erased, (item) => item.label),
    ),
  });
  const solveStartedMs = processorMs();
  const fn = nextVersion(base.fn, statistics);
  const endedMs = processorMs();
  const gone = new Set<Item>(erased);
  const seq = BigInt(fn.version);
  const entries = base.entries.map((entry) =>
    entry.kind === 'live' && gone.has(entry)
      ? { kind: 'erased' as const, itemId: new Uint8Array(entry.itemId), seq }
      : entry,
  );
  const { churn, storedDiffer } = await countDifferences(base.fn, fn, survivors);
  return {
    state: { ...base, fn, statistics, entries },
    erased,
    statisticsMs: solveStartedMs - startedMs,
    solveMs: endedMs - solveStartedMs,
    survivors: survivors.length,
    churn,
    storedDiffer,
  };
}

function featureRows(items: readonly Item[], featureDim: number): Uint8Array {
  const rows = new Uint8Array(items.length * featureDim);
  items.forEach((item, i) => {
    rows.set(item.features, i * featureDim);
  });
  return rows;
}

async function countDifferences(
  before: HashFunction,
  after: HashFunction,
  items: readonly Item[],
): Promise<{ churn: number; storedDiffer: number }> {
  const codeBytes = after.codebook.codeBits / 8;
  let churn = 0;
  let storedDiffer = 0;
  for (let at = 0; at < items.length; at += STEP_ROWS) {
    const step = items.slice(at, at + STEP_ROWS);
    const features = featureRows(step, after.features.featureDim);
    const old = Buffer.from(encodeFeatures(before, features));
    const now = Buffer.from(encodeFeatures(after, features));
    step.forEach(({ code }, i) => {
      const own = now.subarray(i * codeBytes, (i + 1) * codeBytes);
      if (!own.equals(old.subarray(i * codeBytes, (i + 1) * codeBytes))) churn++;
      if (!own.equals(code)) storedDiffer++;
    });
    await breathe();
  }
  return { churn, storedDiffer };
}
