import { defineErrors } from '@lethe/std';

export const RPC = defineErrors({
  UNAUTHENTICATED: {
    code: 'LETHE-2101',
    status: 'UNAUTHENTICATED',
    remedy:
      'Send the metadata "authorization: Bearer <token>" with a token of this platform (see credentials/), or a client certificate.',
  },
  PERMISSION_DENIED: {
    code: 'LETHE-2102',
    status: 'PERMISSION_DENIED',
    remedy:
      'Use a credential whose role and tenant allow this method; libs/contracts/src/access.ts is the table.',
  },
  MALFORMED_MESSAGE: {
    code: 'LETHE-2103',
    status: 'INVALID_ARGUMENT',
    remedy: 'Send a protobuf message of the type that the method takes; reflection shows it.',
  },
  TENANT_MISSING: {
    code: 'LETHE-2104',
    status: 'INVALID_ARGUMENT',
    remedy: 'Name the resource or its parent as tenants/{tenant}/….',
  },
  INSECURE_ADDRESS: {
    code: 'LETHE-2105',
    status: 'FAILED_PRECONDITION',
    remedy: 'Listen on a loopback address, or configure a certificate, a key and a client authority.',
  },
  PORT_IN_USE: {
    code: 'LETHE-2106',
    status: 'FAILED_PRECONDITION',
    remedy: 'Choose another port (LETHE_PORT, 0 for any free one) or stop the process that holds it.',
  },
  CREDENTIALS_UNSAFE: {
    code: 'LETHE-2107',
    status: 'FAILED_PRECONDITION',
    remedy: 'Make the file readable by its owner only: chmod 600.',
  },
  CREDENTIALS_INVALID: {
    code: 'LETHE-2108',
    status: 'FAILED_PRECONDITION',
    remedy: 'Delete the file to have a new one written at the next start, or restore it.',
  },
  PEER_ANSWER: {
    code: 'LETHE-2109',
    status: 'UNAVAILABLE',
    remedy: 'Check that the platform is running at that address and that the call may take this long.',
  },
  SHUTTING_DOWN: {
    code: 'LETHE-2110',
    status: 'UNAVAILABLE',
    remedy: 'Send the request again; the service is restarting.',
  },
});
