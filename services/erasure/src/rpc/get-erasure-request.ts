import type { erasure } from '@lethe/contracts';
import type { ErasureResource } from '../domain/resource.ts';
import { loadResource, type RpcContext } from './context.ts';

export const getErasureRequest =
  (context: RpcContext) =>
  async ({ name }: erasure.GetErasureRequestRequest): Promise<ErasureResource> =>
    await loadResource(context, name);
