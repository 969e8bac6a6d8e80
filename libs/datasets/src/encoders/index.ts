/** Frozen encoders. They run models, so they have a door of their own: `@lethe/datasets` itself needs no runtime. */
export * from './picture-net.ts';
export * from './tfjs.ts';
export * from './tfjs-weights.ts';
export * from './use.ts';
export * from './use-tokens.ts';
