export * from './errors.ts';
export * from './hash.ts';
export * from './log.ts';
export * from './paths.ts';
export * from './pruned.ts';
export * from './sorted.ts';
export * from './verify.ts';
