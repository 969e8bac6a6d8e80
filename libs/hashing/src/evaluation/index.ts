export * from './embedding-baseline.ts';
export * from './intervals.ts';
export * from './methods.ts';
export * from './protocol.ts';
export * from './relevance.ts';
