import type { CanarySpec } from '@lethe/auditing';

export interface AuditSettings {
  /** How canaries look; see `generateCanary`. Default SPARSE: most elements lie at the low end of their range. */
  readonly pattern?: CanarySpec['pattern'];
  /** Share of elements that are set in a SPARSE pattern. Default 0.2. */
  readonly density?: number;
}

/** Below, an arm could be empty; above, a report would leave the limits of the object store's comfort. */
export const CANARY_COUNT = { min: 20, max: 20_000 } as const;
