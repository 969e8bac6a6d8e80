/** A gRPC server: authentication, the access table, tenants, deadlines, coded errors, health, reflection, graceful drain. */
import {
  type ServiceDefinition as GrpcServiceDefinition,
  type handleBidiStreamingCall,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { ACCESS, ANONYMOUS, health, reflection } from '@lethe/contracts';
import { LetheError, type Logger } from '@lethe/std';
import { counter, histogram, withSpan } from '@lethe/telemetry';
import { RPC } from './errors.ts';
import { type HealthBoard, healthHandlers } from './health.ts';
import type { Authenticate, Identity } from './identity.ts';
import { reflectionHandlers } from './reflection.ts';
import {
  type AnyHandler,
  bind,
  type CallContext,
  type Codec,
  type MethodDefinition,
  methodPath,
  type ServiceBinding,
} from './service.ts';
import { publicError, toServiceError } from './status.ts';
import { checkTenant } from './tenant.ts';

/** 16 MiB: four times the largest message that Lethe sends (a page of predictions); larger things are streamed. */
export const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;
/** One connection's concurrent calls: above this a client waits in HTTP/2, it does not pile up work here. */
const CONCURRENT_CALLS_MAX = 128;

export interface TlsFiles {
  /** PEM. */
  readonly certificate: Buffer;
  readonly key: Buffer;
  /** Authority of client certificates, PEM. */
  readonly clientAuthority: Buffer;
}

export interface ServerOptions {
  readonly services: readonly ServiceBinding[];
  readonly authenticate: Authenticate;
  readonly logger: Logger;
  /** Loopback address unless `tls` is given. */
  readonly host?: string;
  /** 0 for any free port. */
  readonly port?: number;
  readonly tls?: TlsFiles;
}

export interface RpcServer {
  readonly port: number;
  /** `host:port` for clients. */
  readonly address: string;
  readonly health: HealthBoard;
  /** Calls answered so far, by method path. */
  callCounts(): Readonly<Record<string, number>>;
  /** Health says NOT_SERVING, running calls finish (at most `graceMs`), then the socket closes. */
  close(graceMs?: number): Promise<void>;
}

const callsTotal = counter('lethe.rpc.server.calls', {
  unit: '{call}',
  description: 'gRPC calls by method and status',
});
const callMs = histogram('lethe.rpc.server.duration', {
  unit: 'ms',
  description: 'time from the first message to the status',
});

const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || /^127\./.test(host);

/** @throws LETHE-2105 for an address that others can reach without TLS, LETHE-2106 when the port is taken */
export async function createServer(options: ServerOptions): Promise<RpcServer> {
  const host = options.host ?? '127.0.0.1';
  if (!options.tls && !isLoopback(host)) {
    throw RPC.INSECURE_ADDRESS(`${host} is not a loopback address and no TLS is configured`, {
      details: { host },
    });
  }
  const board = healthHandlers(options.services.map((service) => service.definition.fullName));
  const server = new Server({
    'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
    'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
    'grpc.max_concurrent_streams': CONCURRENT_CALLS_MAX,
  });
  const counts = new Map<string, number>();
  const all = [
    ...options.services,
    bind(health.HealthDefinition, board.handlers),
    bind(reflection.ServerReflectionDefinition, reflectionHandlers()),
  ];
  for (const binding of all) {
    const definition: Record<string, GrpcServiceDefinition[string]> = {};
    const implementation: UntypedServiceImplementation = {};
    for (const [key, method] of Object.entries(binding.definition.methods)) {
      const path = methodPath(binding.definition, method);
      const handler = binding.handlers[key];
      if (!handler) throw new TypeError(`no handler for ${path}`);
      definition[key] = {
        path,
        requestStream: method.requestStream,
        responseStream: method.responseStream,
        // Raw bytes here; decoding happens inside the call, where a malformed message can become INVALID_ARGUMENT.
        requestDeserialize: (bytes: Buffer) => bytes,
        requestSerialize: (bytes: Buffer) => bytes,
        responseSerialize: (bytes: Buffer) => bytes,
        responseDeserialize: (bytes: Buffer) => bytes,
      };
      implementation[key] = serve({ path, method, handler, options, counts });
    }
    server.addService(definition, implementation);
  }
  const credentials = options.tls
    ? ServerCredentials.createSsl(
        options.tls.clientAuthority,
        [{ private_key: options.tls.key, cert_chain: options.tls.certificate }],
        true,
      )
    : ServerCredentials.createInsecure();
  const port = await new Promise<number>((done, fail) => {
    server.bindAsync(`${host}:${options.port ?? 0}`, credentials, (error, bound) => {
      if (error)
        fail(
          RPC.PORT_IN_USE(`cannot listen on ${host}:${options.port ?? 0}`, {
            details: { host, port: options.port ?? 0 },
            cause: error,
          }),
        );
      else done(bound);
    });
  });
  return {
    port,
    address: `${host}:${port}`,
    health: board,
    callCounts: () => Object.fromEntries(counts),
    async close(graceMs = 5_000) {
      board.setAll(false);
      await new Promise<void>((done) => {
        const timer = setTimeout(() => server.forceShutdown(), graceMs);
        server.tryShutdown(() => {
          clearTimeout(timer);
          done();
        });
      });
    },
  };
}

interface Endpoint {
  readonly path: string;
  readonly method: MethodDefinition;
  readonly handler: AnyHandler;
  readonly options: ServerOptions;
  readonly counts: Map<string, number>;
}

type AnyCall = ServerUnaryCall<Buffer, Buffer> & ServerDuplexStream<Buffer, Buffer>;

function serve(endpoint: Endpoint): handleBidiStreamingCall<Buffer, Buffer> {
  const { method } = endpoint;
  const listener = (call: AnyCall, callback?: sendUnaryData<Buffer>): void => {
    const fail = (error: unknown): void => {
      const failure = toServiceError(error);
      if (callback) callback(failure);
      else call.emit('error', failure);
    };
    const abort = new AbortController();
    call.on('cancelled', () => abort.abort());
    const started = performance.now();
    const run = async (): Promise<void> => {
      const identity = authenticate(endpoint, call);
      const requestType = method.requestType as Codec<object>;
      const responseType = method.responseType as Codec<object>;
      const encode = (message: unknown): Buffer =>
        Buffer.from(responseType.encode(responseType.fromPartial(message as never)).finish());
      let request: unknown;
      let tenant: string;
      if (method.requestStream) {
        const messages = decodeAll(requestType, call);
        const first = await messages.next();
        tenant = first.done ? '' : tenantOfCall(endpoint, identity, first.value);
        request = rejoin(first, messages);
      } else {
        const message = decode(requestType, call.request);
        tenant = tenantOfCall(endpoint, identity, message);
        request = message;
      }
      const context: CallContext = { method: endpoint.path, identity, tenant, signal: abort.signal };
      const answer = endpoint.handler(request, context);
      if (method.responseStream) {
        for await (const message of answer as AsyncIterable<unknown>) {
          if (abort.signal.aborted) return;
          if (!call.write(encode(message))) await drained(call);
        }
        call.end();
      } else {
        callback?.(null, encode(await answer));
      }
    };
    withSpan(endpoint.path.slice(1), { 'rpc.system': 'grpc', 'rpc.method': endpoint.path }, run, {
      role: 'server',
      parent: traceOf(call),
    })
      .then(
        () => 'OK',
        (error: unknown) => {
          const shown = publicError(error);
          if (!(error instanceof LetheError)) {
            endpoint.options.logger.error('call failed', { method: endpoint.path, error });
          }
          fail(error);
          return shown.status;
        },
      )
      .then((status) => {
        endpoint.counts.set(endpoint.path, (endpoint.counts.get(endpoint.path) ?? 0) + 1);
        callsTotal(1, { method: endpoint.path, status });
        callMs(performance.now() - started, { method: endpoint.path });
      });
  };
  return listener as unknown as handleBidiStreamingCall<Buffer, Buffer>;
}

/** W3C trace headers of the caller: its span becomes the parent of ours. */
function traceOf(call: AnyCall): Record<string, string> {
  const entries = Object.entries(call.metadata.getMap());
  return Object.fromEntries(
    entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}

const NOBODY: Identity = { id: 'anonymous', role: 'client', tenants: [] };

function authenticate({ path, options }: Endpoint, call: AnyCall): Identity {
  if (ANONYMOUS.has(path)) return NOBODY;
  const authorization = call.metadata.get('authorization')[0];
  const certificate = call.getAuthContext?.()?.sslPeerCertificate?.raw;
  const identity = options.authenticate({
    authorization: typeof authorization === 'string' ? authorization : undefined,
    certificate,
  });
  if (!identity) throw RPC.UNAUTHENTICATED('the call carries no valid credential');
  if (!ACCESS[path]?.includes(identity.role)) {
    throw RPC.PERMISSION_DENIED(`role ${identity.role} may not call ${path}`, {
      details: { role: identity.role, method: path },
    });
  }
  return identity;
}

/** Every resource that the first message names must lie in one tenant, and the identity must be allowed to act there. */
const tenantOfCall = ({ path }: Endpoint, identity: Identity, message: unknown): string =>
  ANONYMOUS.has(path) ? '' : checkTenant(identity, message);

function decode(codec: Codec<object>, bytes: Uint8Array): object {
  try {
    return codec.decode(bytes);
  } catch (cause) {
    throw RPC.MALFORMED_MESSAGE('the message could not be decoded', { cause });
  }
}

async function* decodeAll(codec: Codec<object>, call: AsyncIterable<Buffer>): AsyncGenerator<object> {
  for await (const bytes of call) yield decode(codec, bytes);
}

async function* rejoin(first: IteratorResult<object>, rest: AsyncGenerator<object>): AsyncGenerator<object> {
  if (!first.done) {
    yield first.value;
    yield* rest;
  }
}

function drained(call: AnyCall): Promise<void> {
  return new Promise((done) => {
    const finish = (): void => {
      call.off('drain', finish);
      call.off('cancelled', finish);
      call.off('close', finish);
      done();
    };
    call.on('drain', finish);
    call.on('cancelled', finish);
    call.on('close', finish);
  });
}
