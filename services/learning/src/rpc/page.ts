/** Pages of a list: a token is the stream position of the last one that was listed. */
import { LEARNING } from '../errors.ts';

const PAGE_DEFAULT = 50;
const PAGE_MAX = 100;

/** @param all in order of `sequence` @throws LETHE-4310 a size or token of no meaning */
export function pageOf<T extends { readonly sequence: number }>(
  all: readonly T[],
  { pageSize, pageToken }: { readonly pageSize: number; readonly pageToken: string },
): { readonly page: readonly T[]; readonly nextPageToken: string } {
  const refuse = (field: string, what: string) =>
    LEARNING.REQUEST_INVALID(`${field} ${what}`, { details: { field } });
  if (pageSize < 0 || pageSize > PAGE_MAX) throw refuse('page_size', `has to be 0 to ${PAGE_MAX}`);
  if (!/^\d{0,15}$/.test(pageToken)) throw refuse('page_token', 'is none that a list has given');
  const rest = all.filter(({ sequence }) => sequence > Number(pageToken));
  const page = rest.slice(0, pageSize || PAGE_DEFAULT);
  return { page, nextPageToken: rest.length > page.length ? `${page.at(-1)?.sequence}` : '' };
}
