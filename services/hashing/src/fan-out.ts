/**
 * Search while two versions answer: a candidate that the gate held was promoted with MODE_FAN_OUT, and stored codes are being moved to
 * it. Each version encodes the query and ranks the codes that it answers for; the lists meet by tail probability.
 *
 * The version before answers for every code of an earlier version than the newest, as it did when it served alone.
 */
import type { Row } from '@lethe/datasets';
import { distance, encodeFeatures, type HashFunction, mergeFanOut, tailProbabilities } from '@lethe/hashing';
import type { SearchFilter } from '@lethe/index';
import type { NullCounts, Previous } from './domain/head.ts';
import { breathe } from './learn.ts';
import type { FoundItem, Learned } from './learned.ts';
import { encodedBy, onePerPerson, type SampledItem, sampledItems } from './probes.ts';

const QUERIES_MAX = 200;
const QUERIES_PER_BREATH = 16;

/** What the newest version needs of the one before, to be asked beside it. @param functions the newest, by modality number */
export async function previousOf(
  before: Learned,
  functions: readonly HashFunction[],
  excluded: ReadonlySet<string>,
): Promise<Previous> {
  const items = await sampledItems(before, excluded);
  const old = before.head.parts.map(({ fn }) => fn);
  const renewed = await encodedBy(functions, items);
  return {
    version: before.version,
    functions: old,
    nulls: await nullCounts(await encodedBy(old, items), items, before),
    newestNulls: await nullCounts(renewed, renewed, before),
  };
}

/** Distances between queries and items without a label in common, by modality of the query. */
async function nullCounts(
  asked: readonly SampledItem[],
  gallery: readonly SampledItem[],
  { codeBits, head }: Learned,
): Promise<NullCounts> {
  const counts = head.parts.map(() => Array.from<number>({ length: codeBits + 1 }).fill(0));
  for (const part of head.parts.keys()) {
    const queries = onePerPerson(
      asked.filter((item) => item.part === part),
      QUERIES_MAX,
    );
    for (const [q, { code, labels }] of queries.entries()) {
      for (const item of gallery) {
        if (item.labels.some((label) => labels.includes(label))) continue;
        counts[part]![distance(code, 0, item.code, 0, codeBits / 8)]!++;
      }
      if (q % QUERIES_PER_BREATH === 0) await breathe();
    }
  }
  return counts;
}

/** Without an unrelated pair all that is known is that p rises with the distance. */
const tailOf = (counts: readonly number[]): Float64Array =>
  tailProbabilities({
    counts: Float64Array.from(counts),
    pairs: counts.reduce((sum, count) => sum + count, 0),
  });

export type AskedItem = FoundItem & { readonly tailProbability?: number };

/**
 * Items for a record, by every version that answers: as `Learned.search` while that is one, else by (tail probability, item id).
 * @param code of the record by the newest version
 */
export function searchByRecord(
  learned: Learned,
  record: { readonly modality: number; readonly row: Row; readonly code: Uint8Array },
  k: number,
  filter: SearchFilter,
  radius?: number,
): AskedItem[] {
  const { previous, live } = learned.head;
  if (!previous) return learned.search(record.code, k, filter, radius);
  const { modality, row, code } = record;
  const stored = new Set(live.codes.map(({ version }) => version));
  const wanted = filter.fnVersions ? filter.fnVersions.filter((version) => stored.has(version)) : [...stored];
  const ask = (version: number, by: Uint8Array, isOwn: (of: number) => boolean) => ({
    version,
    neighbours: learned.search(by, k, { ...filter, fnVersions: wanted.filter(isOwn) }, radius),
  });
  const codeBefore = encodeFeatures(previous.functions[modality]!, learned.features(modality, [row]));
  const lists = [
    ask(previous.version, codeBefore, (of) => of <= previous.version),
    ask(learned.version, code, (of) => of > previous.version),
  ];
  const tails = new Map([
    [previous.version, tailOf(previous.nulls[modality]!)],
    [learned.version, tailOf(previous.newestNulls[modality]!)],
  ]);
  return mergeFanOut(lists, tails, k);
}
