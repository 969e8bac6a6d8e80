/**
 * Sealed artefacts under a key that the run and the version name: an attempt that was cut short seals again under the same key,
 * so that destroying a version's key also kills what the attempts before its commitment have left behind.
 */
import { type events, resourceName } from '@lethe/contracts';
import { SealedArtefacts, type ServiceDeps } from '@lethe/service';
import { ArtefactStore } from '@lethe/store';

export class SealedState {
  readonly #vault: ServiceDeps['peers']['vault'];
  readonly #store: ArtefactStore;
  readonly #artefacts: SealedArtefacts;

  constructor(deps: ServiceDeps) {
    this.#vault = deps.peers.vault;
    this.#store = new ArtefactStore(deps.bus);
    this.#artefacts = new SealedArtefacts(deps);
  }

  /** 32 secret bytes; the same for the same name. */
  async secret(tenant: string, keyId: string): Promise<Uint8Array> {
    const parent = resourceName('tenant', tenant);
    return (await this.#vault.createArtefactKey({ parent, keyId })).key;
  }

  async put(tenant: string, keyId: string, bytes: Uint8Array): Promise<events.ArtefactRef> {
    const key = await this.secret(tenant, keyId);
    const stored = await this.#store.put(tenant, key, bytes, binding(tenant, keyId));
    return { object: stored.address, keyId, digest: stored.digest, sizeBytes: BigInt(stored.bytes) };
  }

  /** @throws LetheError when the key has been destroyed or the object is gone */
  async get(tenant: string, { keyId, object }: events.ArtefactRef): Promise<Uint8Array> {
    const parent = resourceName('tenant', tenant);
    const { key } = await this.#vault.getArtefactKey({ parent, keyId });
    return await this.#store.get(tenant, key, object, binding(tenant, keyId));
  }

  /** Keys first, then bytes. Idempotent. */
  destroy(tenant: string, refs: readonly events.ArtefactRef[]): Promise<void> {
    return this.#artefacts.destroy(tenant, refs);
  }
}

const binding = (tenant: string, keyId: string): string => `lethe-learning-v1|${tenant}|${keyId}`;
