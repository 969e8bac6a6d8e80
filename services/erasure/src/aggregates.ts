/** The aggregates whose folds read the stream: a recorded history must fold the same in every release (test/golden/events.test.ts). */
export { erasureAggregate } from './domain/erasure.ts';
export {
  auditPart,
  auditRecord,
  federationPart,
  hashPart,
  learningPart,
  vaultPart,
} from './domain/facts.ts';
export { logAggregate } from './domain/log.ts';
