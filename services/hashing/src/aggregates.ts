/** The aggregates whose folds read the stream: a recorded history must fold the same in every release (test/golden/events.test.ts). */

export { hashCheck } from './domain/check.ts';
export { hashFunction } from './domain/hash-function.ts';
export { hashWatch } from './domain/watch.ts';
