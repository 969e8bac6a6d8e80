import { type events, resourceName } from '@lethe/contracts';
import { SealedArtefacts, type ServiceDeps } from '@lethe/service';
import { ArtefactStore } from '@lethe/store';

/**
 * Sealed artefacts under keys whose ids follow from what they hold. An attempt that a crash cut short has sealed under the same
 * key as the one that is committed, so destroying a version's key also makes what lost attempts left behind unreadable; under
 * random ids such a key would live on and nobody would know it.
 */
export class SealedState {
  readonly #artefacts: SealedArtefacts;
  readonly #store: ArtefactStore;
  readonly #vault: ServiceDeps['peers']['vault'];

  constructor(deps: ServiceDeps) {
    this.#artefacts = new SealedArtefacts(deps);
    this.#store = new ArtefactStore(deps.bus);
    this.#vault = deps.peers.vault;
  }

  async put(tenant: string, keyId: string, bytes: Uint8Array): Promise<events.ArtefactRef> {
    const { key } = await this.#vault.createArtefactKey({ parent: resourceName('tenant', tenant), keyId });
    // The same binding as in SealedArtefacts, with which the vault opens the needles.
    const stored = await this.#store.put(tenant, key, bytes, `lethe-artefact-v1|${tenant}|${keyId}`);
    return { object: stored.address, keyId, digest: stored.digest, sizeBytes: BigInt(stored.bytes) };
  }

  /** @throws LetheError when the key has been destroyed or the object is gone */
  async get(tenant: string, ref: events.ArtefactRef): Promise<Uint8Array> {
    return await this.#artefacts.get(tenant, ref);
  }

  /** Overwrites the bytes of an attempt that lost; the key is the winner's too and lives on. */
  async discard(tenant: string, ref: events.ArtefactRef): Promise<void> {
    await this.#store.delete(tenant, ref.object);
  }

  /** Key first, then bytes. Idempotent. */
  async destroy(tenant: string, ref: events.ArtefactRef): Promise<void> {
    await this.#artefacts.destroy(tenant, [ref]);
  }
}

export const stateKeyId = (functionId: string, version: number): string =>
  `hash-state-${functionId}-v${version}`;
/** All needles of one erasure, whichever function they come from: the vault destroys this key with the scan. */
export const needlesKeyId = (erasureId: string): string => `hash-needles-${erasureId}`;
