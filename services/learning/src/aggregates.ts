/** The aggregates whose folds read the stream: a recorded history must fold the same in every release (test/golden/events.test.ts). */
export { modelAlias } from './domain/model-alias.ts';
export { privacyBudget } from './domain/privacy-budget.ts';
export { trainingRun } from './domain/training-run.ts';
