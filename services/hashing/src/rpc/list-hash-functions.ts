import { type hashing, parseName } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import type { HashingContext } from '../context.ts';
import { HASHING_SERVICE } from '../errors.ts';
import { resource } from '../resource.ts';

const PAGE_DEFAULT = 50;
const PAGE_MAX = 100;

/** Functions of a tenant, oldest first. A page token is the stream position of the last one that was listed. @throws LETHE-4207 */
export async function listHashFunctions(
  context: HashingContext,
  { parent, pageSize, pageToken }: hashing.ListHashFunctionsRequest,
): Promise<Partially<hashing.ListHashFunctionsResponse>> {
  const [tenant] = parseName('tenant', parent);
  if (pageSize < 0 || pageSize > PAGE_MAX) throw refused('page_size', `must be 0 to ${PAGE_MAX}`);
  if (!/^\d{0,15}$/.test(pageToken)) throw refused('page_token', 'is none that a list has given');
  const listed = await context.functions.list(tenant);
  const rest = listed.filter(({ sequence }) => sequence > Number(pageToken));
  const page = rest.slice(0, pageSize || PAGE_DEFAULT);
  return {
    hashFunctions: await Promise.all(page.map((address) => resource(context, address, false))),
    nextPageToken: rest.length > page.length ? `${page.at(-1)?.sequence}` : '',
  };
}

const refused = (field: string, why: string) =>
  HASHING_SERVICE.REQUEST_INVALID(`${field} ${why}`, { details: { field } });
