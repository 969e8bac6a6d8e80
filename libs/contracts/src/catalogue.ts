import * as events from '../gen/lethe/events/v1/events.ts';

/**
 * Every event type of the platform: which kind of aggregate it belongs to and the schema of its payload. A type that is not
 * listed does not exist: a consumer that meets one stops.
 *
 * To add one: a message in `protos/lethe/events/v1/events.proto` with the type in its comment, `npm run generate`, one line
 * here, and a recorded example under `test/golden`.
 */
export const CATALOGUE = {
  'dataset.created': { aggregate: 'dataset', codec: events.DatasetCreated },
  'dataset.root.committed': { aggregate: 'dataset', codec: events.DatasetRootCommitted },
  'hash.function.created': { aggregate: 'hash-function', codec: events.HashFunctionCreated },
  'hash.update.requested': { aggregate: 'hash-function', codec: events.HashUpdateRequested },
  'hash.function.promoted': { aggregate: 'hash-function', codec: events.HashFunctionPromoted },
  'hash.function.failed': { aggregate: 'hash-function', codec: events.HashFunctionFailed },
  'training.requested': { aggregate: 'training-run', codec: events.TrainingRequested },
  'privacy.spent': { aggregate: 'training-run', codec: events.PrivacySpent },
  'model.trained': { aggregate: 'training-run', codec: events.ModelTrained },
  'training.failed': { aggregate: 'training-run', codec: events.TrainingFailed },
  'federation.created': { aggregate: 'federation', codec: events.FederationCreated },
  'party.joined': { aggregate: 'federation', codec: events.PartyJoined },
  'federation.trained': { aggregate: 'federation', codec: events.FederationTrained },
  'federation.failed': { aggregate: 'federation', codec: events.FederationFailed },
  'audit.created': { aggregate: 'audit', codec: events.AuditCreated },
  'audit.registered': { aggregate: 'audit', codec: events.AuditRegistered },
  'audit.cohort.released': { aggregate: 'audit', codec: events.AuditCohortReleased },
  'audit.completed': { aggregate: 'audit', codec: events.AuditCompleted },
  'vault.contained': { aggregate: 'vault-erasure', codec: events.OwnerContained },
  'hash.contained': { aggregate: 'hash-erasure', codec: events.OwnerContained },
  'learning.contained': { aggregate: 'learning-erasure', codec: events.OwnerContained },
  'federation.contained': { aggregate: 'federation-erasure', codec: events.OwnerContained },
  'audit.contained': { aggregate: 'audit-erasure', codec: events.OwnerContained },
  'hash.erased': { aggregate: 'hash-erasure', codec: events.OwnerErased },
  'model.unlearned': { aggregate: 'learning-erasure', codec: events.OwnerErased },
  'federation.erased': { aggregate: 'federation-erasure', codec: events.OwnerErased },
  'subject.key.destroyed': { aggregate: 'vault-erasure', codec: events.SubjectKeyDestroyed },
  'erasure.requested': { aggregate: 'erasure', codec: events.ErasureRequested },
  'erasure.contained': { aggregate: 'erasure', codec: events.ErasureContained },
  'erasure.started': { aggregate: 'erasure', codec: events.ErasureStarted },
  'erasure.owners.confirmed': { aggregate: 'erasure', codec: events.ErasureOwnersConfirmed },
  'erasure.erased': { aggregate: 'erasure', codec: events.ErasureErased },
  'erasure.certified': { aggregate: 'erasure', codec: events.ErasureCertified },
  'erasure.partial': { aggregate: 'erasure', codec: events.ErasurePartial },
  'erasure.failed': { aggregate: 'erasure', codec: events.ErasureFailed },
  'log.appended': { aggregate: 'log', codec: events.LogAppended },
} as const;

export type EventType = keyof typeof CATALOGUE;

/** Payload of an event type. */
export type EventData<T extends EventType> = ReturnType<(typeof CATALOGUE)[T]['codec']['decode']>;

/** An event before it is in an envelope, as aggregates decide on it. */
export type AnyEvent = { [T in EventType]: { readonly type: T; readonly data: EventData<T> } }[EventType];
