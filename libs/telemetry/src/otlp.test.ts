import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { trace } from '@opentelemetry/api';
import { counter, extractTrace, injectTrace, startTelemetry, withSpan } from './index.ts';

/** A collector that keeps what it is sent. OTLP is protobuf: names and ids lie in it as they are. */
async function collector() {
  const received: { path: string; body: Buffer }[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      received.push({ path: request.url ?? '', body: Buffer.concat(chunks) });
      response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    sent: (path: string) => Buffer.concat(received.filter((one) => one.path === path).map((one) => one.body)),
    paths: () => new Set(received.map((one) => one.path)),
    close: () => new Promise((done) => server.close(done)),
  };
}

test('a span arrives with the parent that came in headers; no name of the list does', async () => {
  const sink = await collector();
  const telemetry = await startTelemetry({ serviceName: 'lethe-sample', endpoint: `${sink.endpoint}/` });
  const calls = counter('lethe.sample.calls', { description: 'sample', unit: '{call}' });
  let caller: { traceId: string; spanId: string } | undefined;
  let handler: { traceId: string; spanId: string } | undefined;
  try {
    const headers = await withSpan(
      'sample.client',
      { 'lethe.rows': 3, subjectId: 'ada-lovelace' },
      (span) => {
        caller = span.spanContext();
        return injectTrace({});
      },
    );
    assert.deepEqual(Object.keys(headers), ['traceparent']);
    await withSpan(
      'sample.server',
      { token: 'ada-lovelace' },
      async (span) => {
        await new Promise((done) => setImmediate(done));
        assert.equal(trace.getActiveSpan(), span, 'the span is active across await');
        handler = span.spanContext();
      },
      { role: 'server', parent: headers },
    );
    calls(2, { stream: 'EVENTS', email: 'ada-lovelace' });
  } finally {
    await telemetry.shutdown();
    await sink.close();
  }
  assert.ok(caller && handler);
  assert.equal(handler.traceId, caller.traceId, 'one trace');
  const spans = sink.sent('/v1/traces');
  for (const text of ['lethe-sample', 'sample.client', 'sample.server', 'lethe.rows']) {
    assert.ok(spans.includes(text), `${text} was sent`);
  }
  // Field 4 of a Span (parent_span_id), 8 bytes: the caller's id as the handler's parent.
  const parent = Buffer.concat([Buffer.from([0x22, 8]), Buffer.from(caller.spanId, 'hex')]);
  assert.ok(spans.includes(parent), 'the handler names the caller as its parent');
  const values = sink.sent('/v1/metrics');
  assert.ok(values.includes('lethe.sample.calls') && values.includes('EVENTS'));
  for (const bytes of [spans, values]) {
    for (const text of ['ada-lovelace', 'subjectId', 'token', 'email'])
      assert.ok(!bytes.includes(text), text);
  }
  assert.deepEqual(sink.paths(), new Set(['/v1/traces', '/v1/metrics']));
});

test('after shutdown nothing is recorded or propagated, and it can be started again', async () => {
  const sink = await collector();
  for (let round = 0; round < 2; round++) {
    const telemetry = await startTelemetry({ serviceName: 'lethe-sample', endpoint: sink.endpoint });
    await withSpan('sample.round', { round }, () => {});
    await telemetry.shutdown();
    assert.deepEqual(injectTrace({}), {});
    assert.equal(
      trace.getSpanContext(extractTrace({ traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` })),
      undefined,
    );
  }
  await sink.close();
});

test('a collector that is gone does not fail the shutdown', async () => {
  const sink = await collector();
  await sink.close();
  const telemetry = await startTelemetry({ serviceName: 'lethe-sample', endpoint: sink.endpoint });
  await withSpan('sample.lost', {}, () => {});
  await telemetry.shutdown();
});

test('an endpoint that is no URL of http is refused with its code', async () => {
  for (const endpoint of ['collector:4318', 'ftp://127.0.0.1', 'not a url']) {
    await assert.rejects(startTelemetry({ serviceName: 'lethe-sample', endpoint }), /LETHE-2502/, endpoint);
  }
});

test('without an endpoint nothing of the SDK is loaded', () => {
  const program = `
    import { startTelemetry } from ${JSON.stringify(new URL('./index.ts', import.meta.url).href)};
    import { registerHooks } from 'node:module';
    const loaded = [];
    registerHooks({ resolve(specifier, context, next) {
      if (specifier.startsWith('@opentelemetry/')) loaded.push(specifier);
      return next(specifier, context);
    } });
    await (await startTelemetry({ serviceName: 'x', endpoint: process.argv[1] })).shutdown();
    process.stdout.write(String(loaded.length));`;
  const loaded = (...args: string[]): number =>
    Number(
      execFileSync(process.execPath, ['--input-type=module', '-e', program, ...args], { encoding: 'utf8' }),
    );
  assert.equal(loaded(), 0);
  assert.ok(loaded('http://127.0.0.1:9') >= 7, 'the same look sees them when they are loaded');
});
