import { hex, sha256 } from '@lethe/std';
import { HASHING_SERVICE } from '../errors.ts';

const REQUEST_ID_CHARS_MAX = 128;

/** Id of the event that a request leads to: the same for the same request, whoever sends it again. Random without a request id. */
export function requestEventId(name: string, requestId: string): string | undefined {
  if (requestId.length > REQUEST_ID_CHARS_MAX) {
    throw HASHING_SERVICE.REQUEST_INVALID('request_id has more than 128 characters', {
      details: { field: 'request_id' },
    });
  }
  return requestId === '' ? undefined : `request-${hex(sha256(`${name}|${requestId}`)).slice(0, 32)}`;
}
