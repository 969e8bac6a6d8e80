import { type erasure, parseName } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { toResource } from '../domain/resource.ts';
import { ERASURE } from '../errors.ts';
import type { RpcContext } from './context.ts';

const PAGE_DEFAULT = 50;
const PAGE_MAX = 100;

/** Oldest first. A page token is the stream position of the last request that was listed. */
export const listErasureRequests =
  ({ directory, gatherer }: RpcContext) =>
  async (
    request: erasure.ListErasureRequestsRequest,
  ): Promise<Partially<erasure.ListErasureRequestsResponse>> => {
    const [tenant] = parseName('tenant', request.parent);
    const { pageSize, pageToken } = request;
    if (pageSize < 0 || pageSize > PAGE_MAX) {
      throw ERASURE.REQUEST_MALFORMED(`page_size must be 0 to ${PAGE_MAX}`, {
        details: { field: 'page_size' },
      });
    }
    if (!/^\d{0,15}$/.test(pageToken)) {
      throw ERASURE.REQUEST_MALFORMED('page_token is none that a list has given', {
        details: { field: 'page_token' },
      });
    }
    const after = Number(pageToken);
    const rest = (await directory.ofTenant(tenant)).filter(({ sequence }) => sequence > after);
    const page = rest.slice(0, pageSize || PAGE_DEFAULT);
    const erasureRequests = await Promise.all(
      page.map(async ({ id }) =>
        toResource(await gatherer.saga(tenant, id), await gatherer.facts(tenant, id)),
      ),
    );
    return { erasureRequests, nextPageToken: rest.length > page.length ? `${page.at(-1)?.sequence}` : '' };
  };
