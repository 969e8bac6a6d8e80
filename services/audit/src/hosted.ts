import type { CreateService } from '@lethe/service';
import { create } from './index.ts';

/** The service as a host starts it. */
export const hostedAudit: CreateService = (deps) => create(deps);
