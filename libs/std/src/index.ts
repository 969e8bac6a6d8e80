export * from './bytes.ts';
export * from './canonical-json.ts';
export * from './error.ts';
export * from './mailbox.ts';
export * from './ports.ts';
export * from './random.ts';
