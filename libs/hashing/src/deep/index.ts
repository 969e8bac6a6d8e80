export * from './class-rows.ts';
export * from './code-sums.ts';
export * from './discrete.ts';
export * from './methods.ts';
export * from './networks.ts';
export * from './published.ts';
export * from './terms.ts';
export * from './trainer.ts';
