import type { hashing } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { type HashingContext, masksOf, servingOf } from '../context.ts';
import { HASHING_SERVICE } from '../errors.ts';

export const NEIGHBOURS_MAX = 1_000;

/** @throws LETHE-4207 k is not in 1..1000 */
export function checkNeighbours(k: number): number {
  if (k >= 1 && k <= NEIGHBOURS_MAX) return k;
  throw HASHING_SERVICE.REQUEST_INVALID(`k must be 1 to ${NEIGHBOURS_MAX}`, { details: { field: 'k' } });
}

/** Exact nearest neighbours of a code or of a record's code, by (distance, item id). */
export async function search(
  context: HashingContext,
  { name, query, k }: hashing.SearchRequest,
): Promise<Partially<hashing.SearchResponse>> {
  const serving = await servingOf(context, name);
  checkNeighbours(k);
  if (!query) throw HASHING_SERVICE.REQUEST_INVALID('the query is missing', { details: { field: 'query' } });
  const code = query.$case === 'code' ? query.value : serving.encode([serving.decode(query.value)]);
  const found = serving.search(code, k, masksOf(context, name));
  return {
    functionVersion: serving.version,
    neighbours: found.map(({ item, distance }) => ({
      itemId: item.itemId,
      distance,
      subjectAlias: item.alias,
      label: item.label,
      functionVersion: item.fnVersion,
    })),
  };
}
