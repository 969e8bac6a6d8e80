export * from './bytes.ts';
export * from './error.ts';
export * from './ports.ts';
export * from './random.ts';
