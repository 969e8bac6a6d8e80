import type { audit } from '@lethe/contracts';
import type { CallContext } from '@lethe/rpc';
import { watch } from '@lethe/service';
import type { Audits } from '../audits.ts';
import { type AuditResource, isFinal } from '../domain/resource.ts';
import { loadResource } from './load.ts';

export const watchAudit =
  (audits: Audits) =>
  ({ name }: audit.GetAuditRequest, { signal }: CallContext): AsyncIterable<AuditResource> =>
    watch({ load: () => loadResource(audits, name), isFinal, signal });
