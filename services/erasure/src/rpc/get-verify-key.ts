import { makeKeyFile } from '@lethe/certificate';
import { type erasure, parseName } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { canonicalJson, utf8 } from '@lethe/std';
import type { RpcContext } from './context.ts';

/** The content of verify-key.json: keys and the newest checkpoint of the tenant's log. */
export const getVerifyKey =
  ({ keys, log }: RpcContext) =>
  async ({ parent }: erasure.GetVerifyKeyRequest): Promise<Partially<erasure.VerifyKey>> => {
    const [tenant] = parseName('tenant', parent);
    const file = makeKeyFile({
      issuers: [keys.issuer],
      origin: keys.origin(tenant),
      logs: [keys.log(tenant)],
      checkpoint: await log.checkpoint(tenant),
    });
    return { content: utf8(canonicalJson(file)) };
  };
