import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defineErrors } from '@lethe/std';
import { context, propagation, ROOT_CONTEXT, SpanStatusCode, trace } from '@opentelemetry/api';
import { createLogger, extractTrace, injectTrace, parseLogLevel, redact, withSpan } from './index.ts';

const SAMPLE = defineErrors({ SAMPLE: { code: 'LETHE-2599', status: 'INTERNAL', remedy: 'None.' } });

function collect() {
  const lines: Record<string, unknown>[] = [];
  return { lines, destination: { write: (line: string) => void lines.push(JSON.parse(line)) } };
}

test('a line carries its fields, and none of the names on the list', () => {
  const { lines, destination } = collect();
  const logger = createLogger({ name: 'vault', destination });
  logger.info('ingested', {
    count: 3,
    subject_id: 'ada',
    nested: { SubjectId: 'ada', n: 1n },
    bytes: new Uint8Array(5),
  });
  assert.equal(lines.length, 1);
  const { time, ...line } = lines[0] as Record<string, unknown>;
  assert.match(String(time), /^\d{4}-.*Z$/);
  assert.deepEqual(line, {
    level: 'info',
    name: 'vault',
    msg: 'ingested',
    count: 3,
    subject_id: '[redacted]',
    nested: { SubjectId: '[redacted]', n: '1' },
    bytes: '[5 bytes]',
  });
  assert.ok(!JSON.stringify(lines).includes('ada'));
});

test('a coded error keeps its code; the message of any other error stays home', () => {
  assert.deepEqual(redact(SAMPLE.SAMPLE('three lanes', { details: { lanes: 3, key: 'k' } })), {
    code: 'LETHE-2599',
    reason: 'SAMPLE',
    message: '[LETHE-2599] three lanes',
    details: { lanes: 3, key: '[redacted]' },
  });
  assert.ok(!JSON.stringify(redact(new TypeError('ada lovelace'))).includes('ada'));
});

test('levels below the threshold are not written, and an unknown level is refused with its code', () => {
  const { lines, destination } = collect();
  createLogger({ name: 'x', level: 'warn', destination }).info('quiet');
  assert.equal(lines.length, 0);
  assert.throws(() => parseLogLevel('loud'), /LETHE-2501/);
});

test('without an SDK nothing is injected and the work still runs', async () => {
  assert.equal(await withSpan('work', { n: 1 }, () => 7), 7);
  assert.deepEqual(injectTrace(), {});
});

test('with an SDK: context travels through headers, errors are recorded by code, attributes pass the list', async () => {
  const spans: { name: string; attributes: Record<string, unknown>; status?: unknown; ended: boolean }[] = [];
  const spanContext = {
    traceId: '0af7651916cd43dd8448eb211c80319c',
    spanId: 'b7ad6b7169203331',
    traceFlags: 1,
  };
  trace.setGlobalTracerProvider({
    getTracer: () => ({
      startSpan(name: string, options: { attributes?: Record<string, unknown> } = {}) {
        const seen: (typeof spans)[number] = { name, attributes: { ...options.attributes }, ended: false };
        spans.push(seen);
        return Object.assign(Object.create(null), {
          spanContext: () => spanContext,
          setAttribute(key: string, value: unknown) {
            seen.attributes[key] = value;
          },
          setStatus(status: unknown) {
            seen.status = status;
          },
          end() {
            seen.ended = true;
          },
        });
      },
      startActiveSpan: () => assert.fail('not used'),
    }),
  });
  propagation.setGlobalPropagator({
    inject: (current, carrier, setter) => {
      const id = trace.getSpanContext(current)?.spanId;
      if (id) setter.set(carrier, 'traceparent', id);
    },
    extract: (current, carrier, getter) => {
      const id = getter.get(carrier, 'traceparent');
      return typeof id === 'string' ? trace.setSpanContext(current, { ...spanContext, spanId: id }) : current;
    },
    fields: () => ['traceparent'],
  });
  try {
    await assert.rejects(
      withSpan('fails', { count: 1, subjectId: 'ada' }, () => Promise.reject(SAMPLE.SAMPLE('no'))),
      /LETHE-2599/,
    );
    assert.deepEqual(spans[0], {
      name: 'fails',
      attributes: { count: 1, 'error.type': 'LETHE-2599' },
      status: { code: SpanStatusCode.ERROR, message: 'LETHE-2599' },
      ended: true,
    });
    const headers = injectTrace({});
    assert.deepEqual(headers, {}, 'no span is active outside withSpan');
    const parent = extractTrace({ traceparent: '00f067aa0ba902b7' });
    assert.equal(trace.getSpanContext(parent)?.spanId, '00f067aa0ba902b7');
    assert.equal(trace.getSpanContext(extractTrace({})), undefined);
    assert.equal(context.active(), ROOT_CONTEXT);
  } finally {
    trace.disable();
    propagation.disable();
  }
});
