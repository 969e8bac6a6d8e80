import type { erasure } from '@lethe/contracts';
import type { CallContext } from '@lethe/rpc';
import { watch } from '@lethe/service';
import { type ErasureResource, isFinal } from '../domain/resource.ts';
import { loadResource, type RpcContext } from './context.ts';

export const watchErasureRequest =
  (context: RpcContext) =>
  ({ name }: erasure.GetErasureRequestRequest, { signal }: CallContext): AsyncIterable<ErasureResource> =>
    watch({ load: () => loadResource(context, name), isFinal, signal });
