export * from './aggregate.ts';
export * from './erase.ts';
export * from './errors.ts';
export * from './placement.ts';
export * from './seeds.ts';
export * from './spec.ts';
export * from './train.ts';
