/**
 * Asks this pod's server for its health (grpc.health.v1) and exits 0 if it is SERVING.
 *
 * The kubelet's own gRPC probe speaks no TLS, and a Lethe server outside loopback speaks nothing else and wants a client
 * certificate. No dependencies: a probe runs every few seconds and must start quickly.
 */
import { readFileSync } from 'node:fs';
import { connect, constants } from 'node:http2';

const DEADLINE_MS = 4_000;
const SERVING = 1;
const { LETHE_TLS_CERT, LETHE_TLS_KEY, LETHE_TLS_CLIENT_CA, LETHE_PORT = '7420' } = process.env;

function leave(reason) {
  if (reason) process.stderr.write(`probe: ${reason}\n`);
  process.exit(reason ? 1 : 0);
}

setTimeout(() => leave(`no answer within ${DEADLINE_MS} ms`), DEADLINE_MS).unref();
const tls = LETHE_TLS_CERT && LETHE_TLS_KEY && LETHE_TLS_CLIENT_CA;
const session = connect(`${tls ? 'https' : 'http'}://127.0.0.1:${LETHE_PORT}`, {
  ...(tls
    ? {
        cert: readFileSync(LETHE_TLS_CERT),
        key: readFileSync(LETHE_TLS_KEY),
        ca: readFileSync(LETHE_TLS_CLIENT_CA),
        // The certificate is for the service's name, and this is the pod itself on loopback: the authority is checked, the name is not.
        checkServerIdentity: () => undefined,
      }
    : {}),
});
session.on('error', (error) => leave(error.message));
const call = session.request({
  [constants.HTTP2_HEADER_METHOD]: 'POST',
  [constants.HTTP2_HEADER_PATH]: '/grpc.health.v1.Health/Check',
  [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
  [constants.HTTP2_HEADER_TE]: 'trailers',
});
const chunks = [];
let status;
call.on('response', (headers) => {
  status = headers['grpc-status'];
});
call.on('trailers', (trailers) => {
  status = trailers['grpc-status'];
});
call.on('data', (chunk) => chunks.push(chunk));
call.on('error', (error) => leave(error.message));
call.on('end', () => {
  // A frame: 1 byte of flags, 4 bytes of length, then HealthCheckResponse { status = 1 } as tag 0x08 and a varint.
  const message = Buffer.concat(chunks).subarray(5);
  const health = message[0] === 0x08 ? message[1] : 0;
  if (Number(status) !== 0) leave(`gRPC status ${status ?? 'missing'}`);
  leave(health === SERVING ? undefined : `health is ${health}, not SERVING`);
});
// An empty HealthCheckRequest: the whole server.
call.end(Buffer.alloc(5));
