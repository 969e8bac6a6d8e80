export type { DetectorReport, DriftReport } from './monitor.ts';
export { DriftMonitor } from './monitor.ts';
export { observeItems } from './observe.ts';
export type { DriftDetector, DriftItems } from './profile.ts';
export type { DriftOptions, DriftReference } from './reference.ts';
export { DEFAULT_DRIFT, driftReference, driftReferenceSteps } from './reference.ts';
