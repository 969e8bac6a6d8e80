import { parseName, type vault } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import type { VaultContext } from '../context.ts';
import { VAULT } from '../errors.ts';

const KEY_ID = /^[a-z0-9][a-z0-9-]{0,127}$/;

function checkKeyId(keyId: string): string {
  if (!KEY_ID.test(keyId)) {
    throw VAULT.REQUEST_INVALID('key_id must be lower-case letters, digits and hyphens', {
      details: { field: 'key_id' },
    });
  }
  return keyId;
}

export async function createArtefactKey(
  { keys }: VaultContext,
  request: vault.CreateArtefactKeyRequest,
): Promise<Partially<vault.ArtefactKey>> {
  const [tenant] = parseName('tenant', request.parent);
  const keyId = checkKeyId(request.keyId);
  return { keyId, key: keys.createArtefact(tenant, keyId) };
}

export async function getArtefactKey(
  { keys }: VaultContext,
  request: vault.GetArtefactKeyRequest,
): Promise<Partially<vault.ArtefactKey>> {
  const [tenant] = parseName('tenant', request.parent);
  const keyId = checkKeyId(request.keyId);
  return { keyId, key: keys.artefact(tenant, keyId) };
}

export async function destroyArtefactKeys(
  { keys }: VaultContext,
  request: vault.DestroyArtefactKeysRequest,
): Promise<Partially<vault.DestroyArtefactKeysResponse>> {
  const [tenant] = parseName('tenant', request.parent);
  return { destroyed: BigInt(keys.destroyArtefacts(tenant, request.keyIds.map(checkKeyId))) };
}
