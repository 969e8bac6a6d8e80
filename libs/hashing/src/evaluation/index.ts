export * from './methods.ts';
export * from './protocol.ts';
export * from './relevance.ts';
