export * from './conformal.ts';
export * from './hubs.ts';
export * from './margins.ts';
export * from './targeted.ts';
export * from './uniqueness.ts';
