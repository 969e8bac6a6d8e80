import type { hashing } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { type HashingContext, masksOf, servingOf } from '../context.ts';
import { itemFilter, WHOLE_RECORD } from '../domain/filter.ts';
import type { Item } from '../domain/state.ts';
import { HASHING_SERVICE } from '../errors.ts';

export const NEIGHBOURS_MAX = 1_000;

/** @throws LETHE-4207 k is not in 1..1000 */
export function checkNeighbours(k: number): number {
  if (k >= 1 && k <= NEIGHBOURS_MAX) return k;
  throw HASHING_SERVICE.REQUEST_INVALID(`k must be 1 to ${NEIGHBOURS_MAX}`, { details: { field: 'k' } });
}

/** @throws LETHE-4207 the function has no such modality */
export function checkModality(modality: string): void {
  if (modality === '' || modality === WHOLE_RECORD) return;
  throw HASHING_SERVICE.REQUEST_INVALID('the function has no such modality', {
    details: { field: 'modality' },
  });
}

/** Exact nearest neighbours of a code or of a record's code, by (distance, item id): the k nearest, or those within a radius. */
export async function search(
  context: HashingContext,
  { name, query, k, radius, modality, filter, minAppliedSequence }: hashing.SearchRequest,
): Promise<Partially<hashing.SearchResponse>> {
  const serving = await servingOf(context, name);
  const most = checkNeighbours(radius !== undefined && k === 0 ? NEIGHBOURS_MAX : k);
  const { codeBits } = serving.state.fn.codebook;
  if (radius !== undefined && radius > codeBits) {
    throw HASHING_SERVICE.REQUEST_INVALID(`radius must be 0 to ${codeBits}`, {
      details: { field: 'radius' },
    });
  }
  checkModality(modality);
  if (minAppliedSequence > 0n)
    throw HASHING_SERVICE.REQUEST_INVALID('min_applied_sequence is not known', {
      details: { field: 'min_applied_sequence' },
    });
  const classes = serving.spec.label.classes.length;
  const allows = itemFilter(filter, { modalities: [WHOLE_RECORD], classes });
  const fits =
    allows &&
    (({ label, fnVersion }: Item) => allows({ modality: WHOLE_RECORD, labels: [label], fnVersion }));
  if (!query) throw HASHING_SERVICE.REQUEST_INVALID('the query is missing', { details: { field: 'query' } });
  const code = query.$case === 'code' ? query.value : serving.encode([serving.decode(query.value)]);
  // One more than asked for tells whether a radius holds more.
  const nearest = serving.search(code, most + 1, masksOf(context, name), fits);
  const within = nearest.filter(({ distance }) => distance <= (radius ?? codeBits));
  return {
    functionVersion: serving.version,
    truncated: radius !== undefined && within.length > most,
    neighbours: within.slice(0, most).map(({ item, distance }) => ({
      itemId: item.itemId,
      distance,
      subjectAlias: item.alias,
      label: item.label,
      labels: [item.label],
      functionVersion: item.fnVersion,
      modality: WHOLE_RECORD,
    })),
  };
}
