/** The aggregates whose folds read the stream: a recorded history must fold the same in every release (test/golden/events.test.ts). */
export { trainingRun } from './domain/training-run.ts';
