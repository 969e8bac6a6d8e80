import { type Bus, ObjectStore } from '@lethe/events';
import { hex, sha256 } from '@lethe/std';
import { open, seal } from './seal.ts';

export interface StoredArtefact {
  /** Hex SHA-256 of the sealed bytes: where they are. */
  readonly address: string;
  /** Hex SHA-256 of the plaintext: what the lineage and the certificate name. */
  readonly digest: string;
  readonly bytes: number;
  readonly sealedBytes: number;
}

/**
 * Models, checkpoints, segments and reports: sealed, and addressed by content. Sealing twice gives two addresses (fresh
 * nonces), so deleting one artefact never takes another's bytes.
 */
export class ArtefactStore {
  readonly #objects: ObjectStore;

  constructor(bus: Bus) {
    this.#objects = new ObjectStore(bus);
  }

  /** @param binding what the bytes are, `checkpoint/acme/run-7/shard-2/slice-1`: needed again to open them */
  async put(
    tenant: string,
    key: Uint8Array,
    plaintext: Uint8Array,
    binding: string,
  ): Promise<StoredArtefact> {
    const sealed = seal(key, plaintext, binding);
    return {
      address: await this.#objects.put(tenant, sealed),
      digest: hex(sha256(plaintext)),
      bytes: plaintext.length,
      sealedBytes: sealed.length,
    };
  }

  /** @throws LetheError LETHE-2014 not there; LETHE-2013 corrupt; LETHE-2206 another key or binding */
  async get(tenant: string, key: Uint8Array, address: string, binding: string): Promise<Uint8Array> {
    return open(key, await this.#objects.get(tenant, address), binding);
  }

  /** Overwrites the sealed bytes. @returns false where there were none */
  async delete(tenant: string, address: string): Promise<boolean> {
    return (await this.#objects.delete(tenant, address)) > 0;
  }
}
