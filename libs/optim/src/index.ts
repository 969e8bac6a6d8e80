export * from './errors.ts';
export * from './initial-weights.ts';
export * from './optimizers.ts';
export { constantRate, cosineDecay, linearDecay, type Schedule } from './schedules.ts';
export * from './train-step-graph.ts';
