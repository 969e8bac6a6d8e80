import { join } from 'node:path';
import type { CreateService } from '@lethe/service';
import { create } from './index.ts';

/** The service with the settings that a host's configuration gives. */
export const hostedErasure: CreateService = (deps, { config }) =>
  create(deps, { keyDir: join(config.dataDirectory, 'erasure'), confirmMs: config.erasureDeadlineMs });
