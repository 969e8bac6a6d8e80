import { type audit, parseName } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { type Audits, auditAddress } from '../audits.ts';

export const listExclusions =
  (audits: Audits) =>
  async (request: audit.ListExclusionsRequest): Promise<Partially<audit.ListExclusionsResponse>> => {
    const [tenant] = parseName('dataset', request.dataset);
    if (request.audit !== '') auditAddress(request.audit);
    return { subjectAliases: await audits.exclusions(tenant, request.dataset, request.audit) };
  };
