/**
 * Traces over `@opentelemetry/api` alone: until an SDK is registered every call here is a no-op of the API, and nothing
 * is recorded or propagated. Attributes pass the same list as log fields, so a span cannot carry what a log line may not.
 */
import { LetheError } from '@lethe/std';
import {
  type Attributes,
  type Context,
  context,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { isRedacted } from './redact.ts';

const TRACER = 'lethe';

export type AttributeMap = Readonly<Record<string, string | number | boolean>>;

export type SpanRole = 'internal' | 'server' | 'client' | 'producer' | 'consumer';

export interface SpanOptions {
  readonly role?: SpanRole;
  /** W3C trace headers that arrived with the request or message: they become the parent. */
  readonly parent?: Readonly<Record<string, string>>;
  /** The same, as a link: for a message that may be handled long after its producer's trace has ended. */
  readonly link?: Readonly<Record<string, string>>;
}

const KINDS: Readonly<Record<SpanRole, SpanKind>> = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
};

/**
 * Runs `fn` inside a span and ends it with the outcome. An error is recorded by its code, never by its message, and
 * thrown on.
 */
export async function withSpan<T>(
  name: string,
  attributes: AttributeMap,
  fn: (span: Span) => Promise<T> | T,
  options: SpanOptions = {},
): Promise<T> {
  const parent = options.parent ? extractTrace(options.parent) : context.active();
  const linked = options.link ? trace.getSpanContext(extractTrace(options.link)) : undefined;
  const span = trace.getTracer(TRACER).startSpan(
    name,
    {
      kind: KINDS[options.role ?? 'internal'],
      attributes: clean(attributes),
      links: linked ? [{ context: linked }] : [],
    },
    parent,
  );
  try {
    return await context.with(trace.setSpan(parent, span), () => fn(span));
  } catch (error) {
    const code = error instanceof LetheError ? error.code : error instanceof Error ? error.name : 'unknown';
    span.setStatus({ code: SpanStatusCode.ERROR, message: code });
    span.setAttribute('error.type', code);
    throw error;
  } finally {
    span.end();
  }
}

/** Attributes without the names that may carry a person or a secret. */
export function clean(attributes: AttributeMap): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([name]) => !isRedacted(name)));
}

/** Adds `traceparent` and `tracestate` of the current span to a header map (NATS headers, gRPC metadata). */
export function injectTrace(headers: Record<string, string> = {}): Record<string, string> {
  propagation.inject(context.active(), headers);
  return headers;
}

/** The context that arrived in headers; the root context where there is none. */
export function extractTrace(headers: Readonly<Record<string, string>>): Context {
  return propagation.extract(ROOT_CONTEXT, headers);
}

/** Ids of the current span, for log lines; empty without one. */
export function traceIds(): { traceId?: string; spanId?: string } {
  const span = trace.getSpanContext(context.active());
  return span ? { traceId: span.traceId, spanId: span.spanId } : {};
}
