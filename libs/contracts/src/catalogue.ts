import * as events from '../gen/lethe/events/v1/events.ts';

/** One event type: its name, the kind of aggregate it belongs to, the schema of its payload. */
const event = <const Type extends string, const Aggregate extends string, Codec>(
  type: Type,
  aggregate: Aggregate,
  codec: Codec,
) => Object.freeze({ type, aggregate, codec });

/**
 * Every event type of the platform. A type that is not listed does not exist: a consumer that meets one stops.
 *
 * To add one: a message in `protos/lethe/events/v1/events.proto` with the type in its comment, `npm run generate`, one line
 * here, and a recorded example under `test/golden`.
 */
export const EVENT = Object.freeze({
  datasetCreated: event('dataset.created', 'dataset', events.DatasetCreated),
  datasetRootCommitted: event('dataset.root.committed', 'dataset', events.DatasetRootCommitted),
  hashFunctionCreated: event('hash.function.created', 'hash-function', events.HashFunctionCreated),
  hashUpdateRequested: event('hash.update.requested', 'hash-function', events.HashUpdateRequested),
  hashFunctionPromoted: event('hash.function.promoted', 'hash-function', events.HashFunctionPromoted),
  hashVersionHeld: event('hash.version.held', 'hash-function', events.HashVersionHeld),
  hashFunctionFailed: event('hash.function.failed', 'hash-function', events.HashFunctionFailed),
  hashMeasured: event('hash.measured', 'hash-watch', events.HashMeasured),
  hashDrifted: event('hash.drifted', 'hash-watch', events.HashDrifted),
  hashCheckRequested: event('hash.check.requested', 'hash-check', events.HashCheckRequested),
  hashCheckCompleted: event('hash.check.completed', 'hash-check', events.HashCheckCompleted),
  hashCheckFailed: event('hash.check.failed', 'hash-check', events.HashCheckFailed),
  trainingRequested: event('training.requested', 'training-run', events.TrainingRequested),
  privacySpent: event('privacy.spent', 'training-run', events.PrivacySpent),
  modelTrained: event('model.trained', 'training-run', events.ModelTrained),
  trainingFailed: event('training.failed', 'training-run', events.TrainingFailed),
  trainingCancelRequested: event('training.cancel.requested', 'training-run', events.TrainingCancelRequested),
  trainingCancelled: event('training.cancelled', 'training-run', events.TrainingCancelled),
  trainingResumed: event('training.resumed', 'training-run', events.TrainingResumed),
  modelPromoted: event('model.promoted', 'model-alias', events.ModelPromoted),
  privacyBudgetSet: event('privacy.budget.set', 'privacy-budget', events.PrivacyBudgetSet),
  privacyReserved: event('privacy.reserved', 'privacy-budget', events.PrivacyReserved),
  privacySettled: event('privacy.settled', 'privacy-budget', events.PrivacySettled),
  federationCreated: event('federation.created', 'federation', events.FederationCreated),
  partyJoined: event('party.joined', 'federation', events.PartyJoined),
  federationTrained: event('federation.trained', 'federation', events.FederationTrained),
  federationFailed: event('federation.failed', 'federation', events.FederationFailed),
  auditCreated: event('audit.created', 'audit', events.AuditCreated),
  auditRegistered: event('audit.registered', 'audit', events.AuditRegistered),
  auditCohortReleased: event('audit.cohort.released', 'audit', events.AuditCohortReleased),
  auditCompleted: event('audit.completed', 'audit', events.AuditCompleted),
  vaultContained: event('vault.contained', 'vault-erasure', events.OwnerContained),
  hashContained: event('hash.contained', 'hash-erasure', events.OwnerContained),
  learningContained: event('learning.contained', 'learning-erasure', events.OwnerContained),
  federationContained: event('federation.contained', 'federation-erasure', events.OwnerContained),
  auditContained: event('audit.contained', 'audit-erasure', events.OwnerContained),
  hashErased: event('hash.erased', 'hash-erasure', events.OwnerErased),
  modelUnlearned: event('model.unlearned', 'learning-erasure', events.OwnerErased),
  federationErased: event('federation.erased', 'federation-erasure', events.OwnerErased),
  subjectErasurePlanned: event('subject.erasure.planned', 'vault-erasure', events.SubjectErasurePlanned),
  subjectKeyDestroyed: event('subject.key.destroyed', 'vault-erasure', events.SubjectKeyDestroyed),
  erasureRequested: event('erasure.requested', 'erasure', events.ErasureRequested),
  erasureContained: event('erasure.contained', 'erasure', events.ErasureContained),
  erasureStarted: event('erasure.started', 'erasure', events.ErasureStarted),
  erasureOwnersConfirmed: event('erasure.owners.confirmed', 'erasure', events.ErasureOwnersConfirmed),
  erasureErased: event('erasure.erased', 'erasure', events.ErasureErased),
  erasureCertified: event('erasure.certified', 'erasure', events.ErasureCertified),
  erasurePartial: event('erasure.partial', 'erasure', events.ErasurePartial),
  erasureFailed: event('erasure.failed', 'erasure', events.ErasureFailed),
  logAppended: event('log.appended', 'log', events.LogAppended),
});

export type EventName = keyof typeof EVENT;

/** The saga's own events, in order: those of the aggregate `erasure`. Owners act on two of them and ignore the others. */
export const SAGA_EVENTS = [
  EVENT.erasureRequested,
  EVENT.erasureContained,
  EVENT.erasureStarted,
  EVENT.erasureOwnersConfirmed,
  EVENT.erasureErased,
  EVENT.erasureCertified,
  EVENT.erasurePartial,
  EVENT.erasureFailed,
] as const;
