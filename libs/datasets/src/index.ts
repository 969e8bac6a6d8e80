export * from './csv.ts';
export * from './errors.ts';
export * from './features.ts';
export * from './hog.ts';
export * from './mnist.ts';
export * from './record.ts';
export * from './spec.ts';
export * from './vector.ts';
