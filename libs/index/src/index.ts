export * from './code-index.ts';
export * from './errors.ts';
export * from './manifest.ts';
export * from './ports.ts';
