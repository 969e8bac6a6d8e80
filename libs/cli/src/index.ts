export { CLI } from './errors.ts';
export { type CliIo, processIo } from './io.ts';
export { run } from './program.ts';
