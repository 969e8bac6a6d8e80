export * from './deep-method.ts';
export * from './embedding-baseline.ts';
export * from './intervals.ts';
export * from './methods.ts';
export * from './pictures.ts';
export * from './protocol.ts';
export * from './published-method.ts';
export * from './relevance.ts';
