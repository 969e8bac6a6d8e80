/**
 * Types of services, handlers and clients, derived from the definitions that ts-proto generates, and the binding of the
 * two to grpc-js. Handlers are plain async functions and generators; nobody outside this library sees a grpc-js call object.
 */
import type { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import type { Identity } from './identity.ts';

type Builtin = Date | Uint8Array | string | number | boolean | bigint | undefined;

/** What a sender may leave out of a message: everything that has a default. */
export type Partially<T> = T extends Builtin
  ? T
  : T extends (infer U)[]
    ? Partially<U>[]
    : T extends { $case: string; value: unknown }
      ? { $case: T['$case']; value: Partially<T['value']> }
      : { [K in keyof T]?: Partially<T[K]> };

export interface Codec<T> {
  encode(message: T, writer?: BinaryWriter): BinaryWriter;
  decode(input: BinaryReader | Uint8Array, length?: number): T;
  // Bivariant on purpose: every generated codec has its own DeepPartial type.
  fromPartial(message: never): T;
}

export interface MethodDefinition {
  readonly name: string;
  readonly requestType: Codec<never> | Codec<unknown>;
  readonly requestStream: boolean;
  readonly responseType: Codec<never> | Codec<unknown>;
  readonly responseStream: boolean;
}

export interface ServiceDefinition {
  readonly name: string;
  readonly fullName: string;
  readonly methods: Readonly<Record<string, MethodDefinition>>;
}

export type RequestOf<M extends MethodDefinition> = ReturnType<M['requestType']['decode']>;
export type ResponseOf<M extends MethodDefinition> = ReturnType<M['responseType']['decode']>;

/** What a handler knows about its call. */
export interface CallContext {
  /** `/package.Service/Method` */
  readonly method: string;
  readonly identity: Identity;
  /** Tenant that the first message names; the identity may act in it. Empty for anonymous methods. */
  readonly tenant: string;
  /** Aborted when the caller cancels, the deadline passes or the connection breaks. */
  readonly signal: AbortSignal;
}

type Incoming<M extends MethodDefinition> = M['requestStream'] extends true
  ? AsyncIterable<RequestOf<M>>
  : RequestOf<M>;
type Outgoing<M extends MethodDefinition> = M['responseStream'] extends true
  ? AsyncIterable<Partially<ResponseOf<M>>>
  : Promise<Partially<ResponseOf<M>>>;

export type Handlers<D extends ServiceDefinition> = {
  [K in keyof D['methods']]: (
    request: Incoming<D['methods'][K]>,
    context: CallContext,
  ) => Outgoing<D['methods'][K]>;
};

/** A handler once its types have been checked by `bind`. */
export type AnyHandler = (request: unknown, context: CallContext) => unknown;

export interface ServiceBinding {
  readonly definition: ServiceDefinition;
  readonly handlers: Readonly<Record<string, AnyHandler>>;
}

/** Ties handlers to their definition; the types of requests and responses are checked here. */
export function bind<D extends ServiceDefinition>(definition: D, handlers: Handlers<D>): ServiceBinding {
  return { definition, handlers: handlers as unknown as Readonly<Record<string, AnyHandler>> };
}

export const methodPath = (definition: ServiceDefinition, method: MethodDefinition): string =>
  `/${definition.fullName}/${method.name}`;
