import type { Lethe } from '@lethe/client';
import { type events, resourceName } from '@lethe/contracts';
import { type Bus, ObjectStore } from '@lethe/events';
import { ArtefactStore } from '@lethe/store';

/**
 * Artefacts that are derived from persons: sealed under a key of their own from the vault, stored under the SHA-256 of the
 * sealed bytes. Destroying the key makes every copy of the bytes unreadable, wherever it is; deleting the object
 * overwrites the ones that we know.
 *
 * A key's id follows from what it seals (function and version, erasure, …). An attempt that a crash cut short has then sealed
 * under the same key as the one that is committed, so that destroying the committed one kills both; under a random id the lost
 * attempt's key would live on and nobody would know it.
 */
export class SealedArtefacts {
  readonly #objects: ObjectStore;
  readonly #sealed: ArtefactStore;
  readonly #vault: Lethe['vault'];

  constructor(deps: { readonly bus: Bus; readonly peers: Lethe }) {
    this.#objects = new ObjectStore(deps.bus);
    this.#sealed = new ArtefactStore(deps.bus);
    this.#vault = deps.peers.vault;
  }

  /** 32 secret bytes: made at the first call, the same for the same id at each later one. */
  async secret(tenant: string, keyId: string): Promise<Uint8Array> {
    return (await this.#vault.createArtefactKey({ parent: resourceName('tenant', tenant), keyId })).key;
  }

  /** @param keyId lower-case letters, digits and hyphens; one id for everything that shall die together */
  async put(tenant: string, keyId: string, bytes: Uint8Array): Promise<events.ArtefactRef> {
    const key = await this.secret(tenant, keyId);
    const stored = await this.#sealed.put(tenant, key, bytes, binding(tenant, keyId));
    return { object: stored.address, keyId, digest: stored.digest, sizeBytes: BigInt(stored.bytes) };
  }

  /** @throws LetheError when the key has been destroyed or the object is gone */
  async get(tenant: string, ref: events.ArtefactRef): Promise<Uint8Array> {
    const { key } = await this.#vault.getArtefactKey({
      parent: resourceName('tenant', tenant),
      keyId: ref.keyId,
    });
    return await this.#sealed.get(tenant, key, ref.object, binding(tenant, ref.keyId));
  }

  /** Stores bytes that carry nobody, in the clear. */
  async putPublic(tenant: string, bytes: Uint8Array): Promise<events.ArtefactRef> {
    const object = await this.#objects.put(tenant, bytes);
    return { object, keyId: '', digest: object, sizeBytes: BigInt(bytes.length) };
  }

  async getPublic(tenant: string, ref: Pick<events.ArtefactRef, 'object'>): Promise<Uint8Array> {
    return await this.#objects.get(tenant, ref.object);
  }

  /** Overwrites the bytes of an attempt that lost against another; the key is the winner's too and lives on. */
  async discard(tenant: string, ref: events.ArtefactRef): Promise<void> {
    await this.#objects.delete(tenant, ref.object);
  }

  /** Keys first, then bytes: after the first line nobody can read them. Idempotent. */
  async destroy(tenant: string, refs: readonly (events.ArtefactRef | undefined)[]): Promise<void> {
    const present = refs.filter((ref) => ref !== undefined);
    if (present.length === 0) return;
    const keyIds = present.map((ref) => ref.keyId).filter((keyId) => keyId !== '');
    if (keyIds.length > 0)
      await this.#vault.destroyArtefactKeys({ parent: resourceName('tenant', tenant), keyIds });
    for (const ref of present) await this.#objects.delete(tenant, ref.object);
  }
}

/** Additional authenticated data: a sealed artefact opens in its own tenant and under its own key only. */
const binding = (tenant: string, keyId: string): string => `lethe-artefact-v1|${tenant}|${keyId}`;
