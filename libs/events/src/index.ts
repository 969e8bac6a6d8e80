export {
  type AggregateDefinition,
  AggregateStore,
  type AggregateStoreOptions,
  defineAggregate,
  type Loaded,
  type Proposed,
  SNAPSHOT_TYPE,
} from './aggregate.ts';
export type {
  Appended,
  AppendOptions,
  Bus,
  BusCounters,
  ConsumeOptions,
  Consumption,
  Delivery,
  OutgoingMessage,
  ReadOptions,
  ServerFacts,
  StoredMessage,
  StreamSettings,
  StreamState,
} from './bus.ts';
export {
  type DeadLetter,
  dropDeadLetter,
  type ListedDeadLetter,
  listDeadLetters,
  putDeadLetter,
  replayDeadLetter,
} from './dead-letters.ts';
export { EVENTS } from './errors.ts';
export {
  decodeEvent,
  defineEvent,
  type EnvelopeFields,
  type EventCodec,
  type EventDefinition,
  type EventOf,
  effectId,
  envelope,
  HEADERS,
  type NewEvent,
  type NewEventOf,
  newEvent,
  type RecordedEvent,
  readEnvelope,
} from './event.ts';
export { freePort } from './free-port.ts';
export { connectJetStream, JetStreamBus, type JetStreamBusOptions } from './jetstream/jetstream-bus.ts';
export {
  findNatsServer,
  type NatsServer,
  type NatsServerOptions,
  openNats,
  startNatsServer,
} from './jetstream/nats-server.ts';
export { assertServerVersion } from './jetstream/version.ts';
export { MemoryBus } from './memory/memory-bus.ts';
export { ObjectStore } from './objects.ts';
export { DEFAULT_LIMITS, ensurePlatformStreams, type StreamLimits } from './streams.ts';
export {
  type AggregateAddress,
  aggregateFilter,
  aggregateSubject,
  datasetRecords,
  objectSubject,
  PARTITIONS,
  parseAggregateSubject,
  partitionOf,
  recordSubject,
  STREAMS,
  subjectToken,
} from './subjects.ts';
export {
  type EventHandler,
  isPassing,
  on,
  type SubscribeOptions,
  type Subscription,
  subscribe,
} from './subscribe.ts';
export { type TailedEvent, type TailOptions, tail } from './tail.ts';
