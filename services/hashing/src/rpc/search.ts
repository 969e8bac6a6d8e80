import type { hashing } from '@lethe/contracts';
import type { SearchFilter } from '@lethe/index';
import type { Partially } from '@lethe/rpc';
import { encodeQuery, excludedOf, type HashingContext, servingOf } from '../context.ts';
import { indexFilter } from '../domain/filter.ts';
import { HASHING_SERVICE } from '../errors.ts';
import { type AskedItem, searchByRecord } from '../fan-out.ts';
import type { Learned } from '../learned.ts';

export const NEIGHBOURS_MAX = 1_000;

/** @throws LETHE-4207 k is not in 1..1000 */
export function checkNeighbours(k: number): number {
  if (k >= 1 && k <= NEIGHBOURS_MAX) return k;
  throw HASHING_SERVICE.REQUEST_INVALID(`k must be 1 to ${NEIGHBOURS_MAX}`, { details: { field: 'k' } });
}

/** Exact nearest neighbours of a code or of a record's code, by (distance, item id): the k nearest, or those within a radius. */
export async function search(
  context: HashingContext,
  { name, query, k, radius, modality, filter, minAppliedSequence }: hashing.SearchRequest,
): Promise<Partially<hashing.SearchResponse>> {
  const { learned, applied } = await servingOf(context, name, minAppliedSequence);
  const { codeBits, modalities } = learned;
  const most = checkNeighbours(radius !== undefined && k === 0 ? NEIGHBOURS_MAX : k);
  if (radius !== undefined && radius > codeBits) {
    throw HASHING_SERVICE.REQUEST_INVALID(`radius must be 0 to ${codeBits}`, {
      details: { field: 'radius' },
    });
  }
  const classes = learned.spec.label.classes.length;
  const known = { modalities, classes, version: learned.version };
  const conditions = { ...indexFilter(filter, known), ...excludedOf(context, name) };
  if (!query) throw HASHING_SERVICE.REQUEST_INVALID('the query is missing', { details: { field: 'query' } });
  // One more than asked for tells whether a radius holds more.
  const found = find(context, { name, query, modality }, learned, most + 1, conditions, radius);
  return {
    functionVersion: learned.version,
    appliedSequence: applied,
    truncated: radius !== undefined && found.length > most,
    neighbours: found.slice(0, most).map(({ distance, item, tailProbability }) => ({
      itemId: item.itemId,
      distance,
      subjectAlias: item.owner,
      label: item.labels[0] ?? 0,
      labels: [...item.labels],
      functionVersion: item.fnVersion,
      modality: modalities[item.modality]!,
      tailProbability,
    })),
  };
}

type Query = NonNullable<hashing.SearchRequest['query']>;

/** A code is searched among all codes, whichever version it is of; a record is encoded by every version that answers. */
function find(
  context: HashingContext,
  { name, query, modality }: { readonly name: string; readonly query: Query; readonly modality: string },
  learned: Learned,
  k: number,
  filter: SearchFilter,
  radius: number | undefined,
): AskedItem[] {
  if (query.$case === 'code') {
    if (modality === '') return learned.search(query.value, k, filter, radius);
    throw HASHING_SERVICE.REQUEST_INVALID('a code has no modality', { details: { field: 'modality' } });
  }
  const row = learned.decode(query.value);
  const number = learned.modalityOf(row, modality);
  const code = encodeQuery(context, name, learned, number, row);
  return searchByRecord(learned, { modality: number, row, code }, k, filter, radius);
}
