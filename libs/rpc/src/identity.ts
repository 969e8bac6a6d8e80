/**
 * Who is calling. On loopback a caller shows a bearer token from the credentials file (mode 0600); with TLS a client
 * certificate whose SPIFFE id names tenant, role and holder. No anonymous calls but health and reflection.
 */

import { X509Certificate } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { ROLES, type Role } from '@lethe/contracts';
import { base32, equalBytes, hex, secureRandom, sha256 } from '@lethe/std';
import { RPC } from './errors.ts';

export interface Identity {
  /** Name for logs: of a credential, never of a person. */
  readonly id: string;
  readonly role: Role;
  /** Tenants it may act in; `*` for all. */
  readonly tenants: readonly string[];
}

export interface Credential extends Identity {
  readonly token: string;
}

export const mayActIn = (identity: Identity, tenant: string): boolean =>
  identity.tenants.includes('*') || identity.tenants.includes(tenant);

/** Decides who a caller is; undefined means nobody. */
export type Authenticate = (call: {
  authorization: string | undefined;
  certificate: Buffer | undefined;
}) => Identity | undefined;

/** By bearer token, compared as SHA-256 in constant time. */
export function tokenAuthenticator(credentials: readonly Credential[]): Authenticate {
  const known = credentials.map((credential) => ({ credential, hash: sha256(credential.token) }));
  return ({ authorization }) => {
    const match = /^Bearer ([a-z0-9]{40,64})$/.exec(authorization ?? '');
    if (!match) return undefined;
    const hash = sha256(match[1]!);
    let found: Identity | undefined;
    for (const { credential, hash: other } of known) {
      if (equalBytes(hash, other))
        found = { id: credential.id, role: credential.role, tenants: credential.tenants };
    }
    return found;
  };
}

const SPIFFE = /^URI:spiffe:\/\/lethe\/tenants\/([a-z0-9-]+|\*)\/roles\/([a-z]+)\/([a-z0-9-]+)$/;

/** By client certificate: `spiffe://lethe/tenants/{tenant}/roles/{role}/{id}` in the subject's alternative names. */
export const certificateAuthenticator: Authenticate = ({ certificate }) => {
  if (!certificate) return undefined;
  for (const name of (new X509Certificate(certificate).subjectAltName ?? '').split(', ')) {
    const match = SPIFFE.exec(name);
    if (!match) continue;
    const role = ROLES.find((candidate) => candidate === match[2]);
    if (role) return { id: match[3]!, role, tenants: [match[1]!] };
  }
  return undefined;
};

export const firstOf =
  (...authenticators: readonly Authenticate[]): Authenticate =>
  (call) => {
    for (const authenticate of authenticators) {
      const identity = authenticate(call);
      if (identity) return identity;
    }
    return undefined;
  };

/** Writes a file that only its owner can read. */
export function writePrivateFile(path: string, content: string | Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(path, content, { mode: 0o600 });
  chmodSync(path, 0o600);
}

/** Reads a file that must be readable by its owner only. @throws LETHE-2107 otherwise */
export function readPrivateFile(path: string): Buffer {
  const mode = statSync(path).mode & 0o777;
  if ((mode & 0o077) !== 0) {
    throw RPC.CREDENTIALS_UNSAFE(`${path} can be read by others (mode ${mode.toString(8)})`, {
      details: { path },
    });
  }
  return readFileSync(path);
}

/**
 * The credentials of an embedded platform: one per role for its tenant and one for the platform itself in all tenants.
 * Made at the first start and kept in `path`, mode 0600.
 * @param tenant a further tenant gets credentials of its own beside those that are there; undefined takes what is there
 */
export function loadOrCreateCredentials(path: string, tenant?: string): Credential[] {
  const present = existsSync(path) ? readCredentials(path) : [];
  const wanted = tenant ?? (present.length === 0 ? DEFAULT_TENANT : undefined);
  const missing = ROLES.filter((role) =>
    role === 'platform'
      ? !present.some((credential) => credential.role === role)
      : wanted !== undefined &&
        !present.some((credential) => credential.role === role && credential.tenants.includes(wanted)),
  );
  if (missing.length === 0) return present;
  const random = secureRandom();
  const made = missing.map(
    (role): Credential => ({
      id: `${role}-${hex(random.bytes(4))}`,
      role,
      tenants: [role === 'platform' ? '*' : wanted!],
      token: base32(random.bytes(32)),
    }),
  );
  const credentials = [...present, ...made];
  writePrivateFile(path, `${JSON.stringify(credentials, null, 2)}\n`);
  return credentials;
}

/** Tenant of a platform that was told none. */
const DEFAULT_TENANT = 'default';

/** The credentials in a file. @throws LETHE-2107 others can read it  @throws LETHE-2108 it is no such list */
export function readCredentials(path: string): Credential[] {
  const parsed = parseJson(path, readPrivateFile(path).toString('utf8'));
  if (!Array.isArray(parsed) || !parsed.every(isCredential)) {
    throw RPC.CREDENTIALS_INVALID(`${path} is not a list of credentials`, { details: { path } });
  }
  return parsed;
}

function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw RPC.CREDENTIALS_INVALID(`${path} is not JSON`, { details: { path }, cause });
  }
}

function isCredential(value: unknown): value is Credential {
  if (typeof value !== 'object' || value === null) return false;
  const { id, role, tenants, token } = value as Record<string, unknown>;
  return (
    typeof id === 'string' &&
    ROLES.some((known) => known === role) &&
    Array.isArray(tenants) &&
    tenants.every((tenant) => typeof tenant === 'string') &&
    typeof token === 'string'
  );
}
