export * from './errors.ts';
export * from './initial-weights.ts';
export * from './optimizers.ts';
export * from './train-step-graph.ts';
