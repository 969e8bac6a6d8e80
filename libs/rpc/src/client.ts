/** Typed clients over a channel: promises and async iterables, a deadline on every unary call, coded errors. */
import {
  Channel,
  type ChannelCredentials,
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { injectTrace } from '@lethe/telemetry';
import { MESSAGE_BYTES_MAX } from './server.ts';
import {
  type Codec,
  type MethodDefinition,
  methodPath,
  type Partially,
  type RequestOf,
  type ResponseOf,
  type ServiceDefinition,
} from './service.ts';
import { fromServiceError } from './status.ts';

/** Long enough for the slowest unary call of the platform (a page of predictions under load), short enough to notice. */
const DEADLINE_MS = 60_000;

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** Unary default: 60 s. Streams have none unless it is given. */
  readonly deadlineMs?: number;
}

type Sent<M extends MethodDefinition> = M['requestStream'] extends true
  ? AsyncIterable<Partially<RequestOf<M>>>
  : Partially<RequestOf<M>>;
type Received<M extends MethodDefinition> = M['responseStream'] extends true
  ? AsyncGenerator<ResponseOf<M>>
  : Promise<ResponseOf<M>>;

export type ClientOf<D extends ServiceDefinition> = {
  [K in keyof D['methods']]: (
    request: Sent<D['methods'][K]>,
    options?: CallOptions,
  ) => Received<D['methods'][K]>;
};

export interface Connection {
  client<D extends ServiceDefinition>(definition: D): ClientOf<D>;
  close(): void;
}

export interface ConnectOptions {
  /** `host:port` */
  readonly address: string;
  readonly token?: string;
  /** Root, client key and client certificate in PEM; plain text on loopback without it. */
  readonly tls?: { readonly authority: Buffer; readonly key: Buffer; readonly certificate: Buffer };
}

/** Only what is safe to repeat is repeated: a call that no server has taken up. */
const SERVICE_CONFIG = JSON.stringify({
  methodConfig: [
    {
      name: [{}],
      retryPolicy: {
        maxAttempts: 4,
        initialBackoff: '0.1s',
        maxBackoff: '2s',
        backoffMultiplier: 3,
        retryableStatusCodes: ['UNAVAILABLE'],
      },
    },
  ],
});

export function connect(options: ConnectOptions): Connection {
  const transport: ChannelCredentials = options.tls
    ? credentials.createSsl(options.tls.authority, options.tls.key, options.tls.certificate)
    : credentials.createInsecure();
  const channelOptions = {
    'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
    'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
    'grpc.service_config': SERVICE_CONFIG,
  };
  const channel = new Channel(options.address, transport, channelOptions);
  const client = new Client(options.address, transport, { channelOverride: channel });
  const metadata = (): Metadata => {
    const out = new Metadata();
    if (options.token) out.set('authorization', `Bearer ${options.token}`);
    for (const [key, value] of Object.entries(injectTrace())) out.set(key, value);
    return out;
  };
  return {
    client<D extends ServiceDefinition>(definition: D): ClientOf<D> {
      const methods: Record<string, unknown> = {};
      for (const [key, method] of Object.entries(definition.methods)) {
        methods[key] = call(client, methodPath(definition, method), method, metadata);
      }
      return methods as ClientOf<D>;
    },
    close: () => client.close(),
  };
}

function call(client: Client, path: string, method: MethodDefinition, metadata: () => Metadata) {
  const requestType = method.requestType as Codec<object>;
  const responseType = method.responseType as Codec<object>;
  const encode = (message: unknown): Buffer =>
    Buffer.from(requestType.encode(requestType.fromPartial(message as never)).finish());
  const decode = (bytes: Buffer): object => responseType.decode(bytes);
  return (request: unknown, options: CallOptions = {}): unknown => {
    const deadlineMs =
      options.deadlineMs ?? (method.requestStream || method.responseStream ? undefined : DEADLINE_MS);
    const settings = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
    const follow = (active: { cancel(): void }): void => {
      if (options.signal?.aborted) active.cancel();
      options.signal?.addEventListener('abort', () => active.cancel(), { once: true });
    };
    if (method.responseStream) {
      const stream = (
        method.requestStream
          ? client.makeBidiStreamRequest(path, encode, decode, metadata(), settings)
          : client.makeServerStreamRequest(path, encode, decode, request, metadata(), settings)
      ) as ClientDuplexStream<unknown, object>;
      follow(stream);
      if (method.requestStream) void send(stream, request as AsyncIterable<unknown>);
      return receive(stream);
    }
    return new Promise((done, fail) => {
      const finish = (error: ServiceError | null, value?: object): void => {
        if (error) fail(fromServiceError(error));
        else done(value);
      };
      if (method.requestStream) {
        const stream = client.makeClientStreamRequest(path, encode, decode, metadata(), settings, finish);
        follow(stream);
        send(stream, request as AsyncIterable<unknown>).catch(fail);
      } else {
        follow(client.makeUnaryRequest(path, encode, decode, request, metadata(), settings, finish));
      }
    });
  };
}

interface Sink {
  write(message: unknown): boolean;
  end(): void;
  cancel(): void;
  once(event: string, listener: () => void): unknown;
  off(event: string, listener: () => void): unknown;
  destroyed?: boolean;
}

async function send(stream: Sink, messages: AsyncIterable<unknown>): Promise<void> {
  let ended = false;
  const end = (): void => {
    ended = true;
  };
  stream.once('status', end);
  stream.once('error', end);
  try {
    for await (const message of messages) {
      // The server has answered before taking everything: its status says why.
      if (ended || stream.destroyed) break;
      if (!stream.write(message)) {
        await new Promise<void>((done) => {
          const finish = (): void => {
            for (const event of ['drain', 'status', 'error', 'close']) stream.off(event, finish);
            done();
          };
          for (const event of ['drain', 'status', 'error', 'close']) stream.once(event, finish);
        });
      }
    }
    stream.end();
  } catch (error) {
    stream.cancel();
    throw error;
  }
}

async function* receive(stream: ClientDuplexStream<unknown, object>): AsyncGenerator<object> {
  try {
    for await (const message of stream) yield message as object;
  } catch (error) {
    throw fromServiceError(error as ServiceError);
  } finally {
    stream.cancel();
  }
}
