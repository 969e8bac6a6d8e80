import { LetheError } from '@lethe/std';
import { JetStreamApiError, JetStreamError } from '@nats-io/jetstream';
import { errors } from '@nats-io/transport-node';
import { EVENTS } from '../errors.ts';

/** Error codes of the JetStream API that mean something to us (server/errors.json of nats-server). */
const WRONG_LAST_SEQUENCE = [10071, 10164];
const STREAM_NOT_FOUND = 10059;
const MESSAGE_EXCEEDS_MAXIMUM = 10054;
/** Account or server limits: insufficient resources, resource limits exceeded, storage resources exceeded, memory. */
const OUT_OF_RESOURCES = [10023, 10002, 10047, 10028];
/** "store failed", with the reason as text: the stream's own limit or the disk. */
const STORE_FAILED = 10077;
const NOT_ENABLED = [10039, 10076];
const UNAVAILABLE_STATUS = 503;

/** True where the same request may succeed later: no leader yet, a server going down, an answer that was lost. */
export function isTransient(error: unknown): boolean {
  if (error instanceof LetheError) return false;
  if (error instanceof JetStreamApiError) {
    // A full stream also answers 503, but waiting does not empty it.
    return (
      error.apiError().code === UNAVAILABLE_STATUS &&
      ![...OUT_OF_RESOURCES, STORE_FAILED].includes(error.code)
    );
  }
  return (
    error instanceof errors.TimeoutError ||
    error instanceof errors.RequestError ||
    error instanceof errors.ConnectionError ||
    // What a pull is told: no responders, leadership change, server shutdown, heartbeats missed.
    error instanceof JetStreamError ||
    // A stream without a leader has no responder, which the client reports as JetStream not being enabled.
    (error instanceof Error && error.name === 'JetStreamNotEnabled')
  );
}

/** The coded error for what the client library threw. */
export function translate(error: unknown, stream: string): LetheError {
  if (error instanceof LetheError) return error;
  const options = { details: { stream }, cause: error };
  if (error instanceof JetStreamApiError) {
    const { err_code: code, description } = error.apiError();
    if (WRONG_LAST_SEQUENCE.includes(code)) {
      return EVENTS.WRONG_SEQUENCE('another message is last on the subject', options);
    }
    if (code === STREAM_NOT_FOUND) return EVENTS.STREAM_NOT_FOUND(`there is no stream ${stream}`, options);
    if (code === MESSAGE_EXCEEDS_MAXIMUM) return EVENTS.MESSAGE_TOO_LARGE(description, options);
    if (OUT_OF_RESOURCES.includes(code)) return EVENTS.STREAM_FULL(`${stream}: ${description}`, options);
    if (code === STORE_FAILED && /maximum|no space|insufficient/.test(description)) {
      return EVENTS.STREAM_FULL(`${stream}: ${description}`, options);
    }
    if (NOT_ENABLED.includes(code)) return EVENTS.JETSTREAM_DISABLED(description, options);
    return EVENTS.BUS_UNAVAILABLE(`${stream}: ${description} (${code})`, options);
  }
  const what = error instanceof Error ? error.message : 'no answer';
  return EVENTS.BUS_UNAVAILABLE(`${stream}: ${what}`, options);
}
