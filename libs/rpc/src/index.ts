export * from './client.ts';
export * from './errors.ts';
export type { HealthBoard } from './health.ts';
export * from './identity.ts';
export {
  createServer,
  MESSAGE_BYTES_MAX,
  type RpcServer,
  type ServerOptions,
  type TlsFiles,
} from './server.ts';
export {
  bind,
  type CallContext,
  type Handlers,
  type Partially,
  type ServiceBinding,
  type ServiceDefinition,
} from './service.ts';
export { fromServiceError, publicError, toServiceError } from './status.ts';
