import type { CreateService } from '@lethe/service';
import { createHashing } from './index.ts';

/** The service as a host starts it. */
export const hostedHashing: CreateService = (deps) => createHashing(deps);
