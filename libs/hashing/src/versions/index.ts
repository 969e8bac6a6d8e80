export * from './bootstrap.ts';
export * from './compatibility.ts';
export * from './continual.ts';
export * from './fan-out.ts';
export * from './fingerprint.ts';
export * from './gate.ts';
