import { type erasure, parseName } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { ERASURE } from '../errors.ts';
import type { RpcContext } from './context.ts';

export const getLogStatement =
  ({ log }: RpcContext) =>
  async (request: erasure.GetLogStatementRequest): Promise<Partially<erasure.LogStatement>> => {
    const [tenant] = parseName('tenant', request.parent);
    if (!/^[0-9a-f]{64}$/.test(request.statementDigest)) {
      throw ERASURE.REQUEST_MALFORMED('statement_digest must be 64 lower-case hex digits', {
        details: { field: 'statement_digest' },
      });
    }
    const found = await log.find(tenant, request.statementDigest);
    if (!found) throw ERASURE.STATEMENT_UNKNOWN('the log holds no statement with this digest');
    return { index: BigInt(found.index), statement: found.entry.data };
  };
