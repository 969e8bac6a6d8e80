/** Conditions of a search on the items that may be neighbours: from a request to what the index takes. Pure. */
import type { hashing } from '@lethe/contracts';
import type { SearchFilter } from '@lethe/index';
import { HASHING_SERVICE } from '../errors.ts';

/** Values in one list: a query that names more is a mistake, and every item is held against every one of them. */
const LISTED_MAX = 1_024;

/**
 * @param known what the function has: its modalities by number, the number of its classes, and its newest version
 * @returns a condition for each list that names something
 * @throws LETHE-4207 a list is too long, names a modality or a version that the function has not, or a label that the dataset does not
 * declare
 */
export function indexFilter(
  filter: hashing.SearchFilter | undefined,
  known: { readonly modalities: readonly string[]; readonly classes: number; readonly version: number },
): SearchFilter {
  if (!filter) return {};
  const { labelsAny, labelsAll, functionVersions: fnVersions } = filter;
  for (const [field, list] of Object.entries(filter)) {
    if (list.length > LISTED_MAX) throw refused(`must list at most ${LISTED_MAX}`, field);
  }
  const modalities = filter.modalities.map((name) => known.modalities.indexOf(name));
  if (modalities.includes(-1)) throw refused('names a modality that the function has not', 'modalities');
  for (const [field, labels] of Object.entries({ labelsAny, labelsAll })) {
    if (labels.some((label) => label >= known.classes))
      throw refused('names a label that the dataset does not declare', field);
  }
  if (fnVersions.some((version) => version < 1 || version > known.version))
    throw refused(`names a version that is not one of 1 to ${known.version}`, 'functionVersions');
  const lists = { modalities, labelsAny, labelsAll, fnVersions };
  return Object.fromEntries(Object.entries(lists).filter(([, list]) => list.length > 0));
}

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

const refused = (why: string, field: string) =>
  HASHING_SERVICE.REQUEST_INVALID(`filter.${snake(field)} ${why}`, {
    details: { field: `filter.${snake(field)}` },
  });
