import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Signer, signerFromSeed } from '@lethe/certificate';
import { readPrivateFile, writePrivateFile } from '@lethe/rpc';
import { base64, fromBase64, type RandomSource } from '@lethe/std';

/** The platform's two signatures: on certificates and on checkpoints of the log. One log, and so one origin, per tenant. */
export interface Keys {
  readonly issuer: Signer;
  /** First line of the checkpoints of a tenant's log. */
  origin(tenant: string): string;
  /** The log's key under the name that its notes carry: the origin. */
  log(tenant: string): Signer;
}

/** @throws LETHE-2107 when a key file can be read by others; LETHE-1305 when it is none */
export function loadOrCreateKeys(directory: string, issuer: string, random: RandomSource): Keys {
  const issuerSeed = seed(join(directory, 'certificate.key'), random);
  const logSeed = seed(join(directory, 'log.key'), random);
  const origin = (tenant: string): string => `${issuer}/tenants/${tenant}/log`;
  return {
    issuer: signerFromSeed(`${issuer}/certificates`, issuerSeed),
    origin,
    log: (tenant) => signerFromSeed(origin(tenant), logSeed),
  };
}

/** 32 bytes in base64, one line. */
function seed(path: string, random: RandomSource): Uint8Array {
  if (!existsSync(path)) writePrivateFile(path, `${base64(random.bytes(32))}\n`);
  return fromBase64(readPrivateFile(path).toString('utf8').trim());
}
