import { defineErrors } from '@lethe/std';

export const CERTIFICATE = defineErrors({
  NOT_A_CERTIFICATE: {
    code: 'LETHE-1301',
    status: 'INVALID_ARGUMENT',
    remedy:
      'Pass the certificate file exactly as it was issued: canonical JSON, not formatted, no newline at the end.',
  },
  NOT_A_KEY_FILE: {
    code: 'LETHE-1302',
    status: 'INVALID_ARGUMENT',
    remedy:
      'Pass the verify-key.json that you got from the issuer by a way you trust, not from the certificate.',
  },
  NOT_VERIFIED: {
    code: 'LETHE-1303',
    status: 'DATA_LOSS',
    remedy: 'Do not rely on this certificate; ask the issuer for the original file and compare.',
  },
  BODY_REFUSED: {
    code: 'LETHE-1304',
    status: 'FAILED_PRECONDITION',
    remedy: 'Complete or correct the evidence before issuing: the verifier would refuse this certificate.',
  },
  BAD_SIGNING_KEY: {
    code: 'LETHE-1305',
    status: 'INVALID_ARGUMENT',
    remedy: 'Pass a 32-byte Ed25519 seed or public key.',
  },
  BAD_NOTE: {
    code: 'LETHE-1306',
    status: 'INVALID_ARGUMENT',
    remedy: 'Pass a C2SP signed note with a checkpoint as its text.',
  },
});
