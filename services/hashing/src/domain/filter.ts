/** Conditions of a search on the items that may be neighbours. Pure. */
import type { hashing } from '@lethe/contracts';
import { HASHING_SERVICE } from '../errors.ts';

/** Name of the one modality of a function that declares none. */
export const WHOLE_RECORD = 'record';

/** Values in one list: a query that names more is a mistake, and every item is held against every one of them. */
const LISTED_MAX = 1_024;

/** What a filter looks at. */
export interface Filtered {
  readonly modality: string;
  /** Class indices, ascending. */
  readonly labels: readonly number[];
  readonly fnVersion: number;
}

/**
 * @param known what the function has: its modalities and the number of its classes
 * @returns the condition, or undefined where nothing is asked for
 * @throws LETHE-4207 a list is too long, names a modality that the function has not, or a label that the dataset does not declare
 */
export function itemFilter(
  filter: hashing.SearchFilter | undefined,
  known: { readonly modalities: readonly string[]; readonly classes: number },
): ((item: Filtered) => boolean) | undefined {
  if (!filter) return undefined;
  const { modalities, labelsAny, labelsAll, functionVersions } = filter;
  for (const [field, list] of Object.entries({ modalities, labelsAny, labelsAll, functionVersions })) {
    if (list.length > LISTED_MAX) throw refused(`must list at most ${LISTED_MAX}`, field);
  }
  if (modalities.some((name) => !known.modalities.includes(name)))
    throw refused('names a modality that the function has not', 'modalities');
  for (const [field, labels] of Object.entries({ labelsAny, labelsAll })) {
    if (labels.some((label) => label >= known.classes))
      throw refused('names a label that the dataset does not declare', field);
  }
  const any = new Set(labelsAny);
  const conditions: ((item: Filtered) => boolean)[] = [];
  if (modalities.length > 0) conditions.push((item) => modalities.includes(item.modality));
  if (functionVersions.length > 0) conditions.push((item) => functionVersions.includes(item.fnVersion));
  if (any.size > 0) conditions.push((item) => item.labels.some((label) => any.has(label)));
  if (labelsAll.length > 0)
    conditions.push((item) => labelsAll.every((label) => item.labels.includes(label)));
  return conditions.length === 0 ? undefined : (item) => conditions.every((holds) => holds(item));
}

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

const refused = (why: string, field: string) =>
  HASHING_SERVICE.REQUEST_INVALID(`filter.${snake(field)} ${why}`, {
    details: { field: `filter.${snake(field)}` },
  });
