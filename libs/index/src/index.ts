export * from './code-index.ts';
export * from './errors.ts';
export * from './manifest.ts';
export * from './memory-segments.ts';
export * from './plain-table.ts';
export * from './ports.ts';
export * from './sweep.ts';
export * from './types.ts';
