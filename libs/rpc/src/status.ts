/** Errors on the wire: `google.rpc.Status` with `ErrorInfo` in `grpc-status-details-bin` (google.aip.dev/193), both ways. */
import { status as grpcStatus, Metadata, type ServiceError } from '@grpc/grpc-js';
import { rpcStatus } from '@lethe/contracts';
import { isErrorCode, LetheError, STD, type StatusName } from '@lethe/std';
import { RPC } from './errors.ts';

const DETAILS = 'grpc-status-details-bin';
const ERROR_INFO = 'type.googleapis.com/google.rpc.ErrorInfo';
const DOMAIN = 'lethe';

/** A thrown value as a caller may see it: a `LetheError` whole but for its cause, anything else as INTERNAL without its text. */
export function publicError(error: unknown): LetheError {
  if (error instanceof LetheError) return error;
  return STD.INTERNAL('the service failed; its log says why', { cause: error });
}

/** What grpc-js sends for an error. */
export function toServiceError(thrown: unknown): Partial<ServiceError> & { code: number; details: string } {
  const error = publicError(thrown);
  const code = grpcStatus[error.status];
  const metadata = new Metadata();
  const info = rpcStatus.ErrorInfo.encode({
    reason: error.reason,
    domain: DOMAIN,
    metadata: {
      ...Object.fromEntries(Object.entries(error.details).map(([key, value]) => [key, String(value)])),
      code: error.code,
      remedy: error.remedy,
    },
  }).finish();
  const body = rpcStatus.Status.encode({
    code,
    message: error.message,
    details: [{ typeUrl: ERROR_INFO, value: info }],
  });
  metadata.set(DETAILS, Buffer.from(body.finish()));
  return { code, details: error.message, metadata };
}

/** A grpc-js error as a `LetheError`: with the sender's code and reason when it came from Lethe. */
export function fromServiceError(error: ServiceError): LetheError {
  const name = (grpcStatus[error.code] ?? 'UNAVAILABLE') as StatusName;
  const raw = error.metadata?.get(DETAILS)[0];
  if (raw instanceof Uint8Array) {
    for (const detail of rpcStatus.Status.decode(raw).details) {
      if (detail.typeUrl !== ERROR_INFO) continue;
      const { reason, domain, metadata } = rpcStatus.ErrorInfo.decode(detail.value);
      const { code, remedy, ...details } = metadata;
      if (domain !== DOMAIN || !isErrorCode(code)) continue;
      const message = error.details.replace(/^\[LETHE-\d+\] /, '');
      return new LetheError(reason, { code, status: name, remedy: remedy ?? '' }, message, {
        details,
        cause: error,
      });
    }
  }
  return new LetheError(
    'PEER_ANSWER',
    { ...RPC.PEER_ANSWER.spec, status: name },
    `${name}: ${error.details}`,
    { cause: error },
  );
}
