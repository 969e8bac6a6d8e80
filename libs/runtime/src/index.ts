export * from './classifier.ts';
export * from './engine.ts';
export * from './errors.ts';
export type { ExecutionProvider } from './execution-provider.ts';
export * from './fingerprint.ts';
export { NoiseWorker, type NoiseWorkerOptions } from './noise-worker.ts';
export * from './predictor.ts';
export * from './session.ts';
export * from './train-step.ts';
