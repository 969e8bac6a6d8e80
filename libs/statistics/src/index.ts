export * from './auc.ts';
export * from './binomial.ts';
export * from './errors.ts';
export * from './fieller.ts';
export * from './normal.ts';
export * from './roc.ts';
export * from './three-arm.ts';
