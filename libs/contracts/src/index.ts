/**
 * The platform's contracts: messages and services generated from `protos/`, the catalogue of events, resource names and
 * the table of who may call what.
 */

export * as any from '../gen/google/protobuf/any.ts';
export * as duration from '../gen/google/protobuf/duration.ts';
export * as rpcStatus from '../gen/google/rpc/status.ts';
export * as health from '../gen/grpc/health/v1/health.ts';
export * as reflection from '../gen/grpc/reflection/v1/reflection.ts';
export * as audit from '../gen/lethe/audit/v1/audit.ts';
export * as common from '../gen/lethe/common/v1/common.ts';
export * as erasure from '../gen/lethe/erasure/v1/erasure.ts';
export * as events from '../gen/lethe/events/v1/events.ts';
export * as federation from '../gen/lethe/federation/v1/federation.ts';
export * as hashing from '../gen/lethe/hashing/v1/hashing.ts';
export * as learning from '../gen/lethe/learning/v1/learning.ts';
export * as vault from '../gen/lethe/vault/v1/vault.ts';
export * from './access.ts';
export * from './catalogue.ts';
export * from './names.ts';

/** File with the descriptors of every proto, for reflection. */
export const DESCRIPTOR_SET = new URL('../gen/descriptor-set.binpb', import.meta.url);
