import type { audit } from '@lethe/contracts';
import type { Audits } from '../audits.ts';
import type { AuditResource } from '../domain/resource.ts';
import { loadResource } from './load.ts';

export const getAudit =
  (audits: Audits) =>
  async ({ name }: audit.GetAuditRequest): Promise<AuditResource> =>
    await loadResource(audits, name);
