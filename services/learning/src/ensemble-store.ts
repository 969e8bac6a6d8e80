/**
 * A stored ensemble: one sealed artefact per shard (its members, seeds and checkpoints), and a sealed manifest that names them. An
 * erasure rewrites the shards it touched; the artefacts of the others stay.
 */

import type { events } from '@lethe/contracts';
import type { SealedArtefacts } from '@lethe/service';
import { canonicalJson, utf8 } from '@lethe/std';
import type { PlacementKeys } from '@lethe/unlearning';
import { decodeShard, encodeShard, type ShardState } from './training/ensemble.ts';

interface StoredRef extends Omit<events.ArtefactRef, 'sizeBytes'> {
  readonly sizeBytes: number;
}

/** A person who is in no shard since a version that another person's erasure made, because the vault withheld the records by then. */
export interface LeftOut {
  readonly alias: string;
  readonly version: number;
}

interface Manifest {
  readonly shards: readonly StoredRef[];
  /** Absent where there are none. */
  readonly leftOut?: readonly LeftOut[];
}

/** Where the shards are, in order. */
export type ShardRefs = readonly events.ArtefactRef[];

export class EnsembleStore {
  readonly #state: SealedArtefacts;
  readonly #tenant: string;
  readonly #run: string;

  constructor(state: SealedArtefacts, tenant: string, run: string) {
    this.#state = state;
    this.#tenant = tenant;
    this.#run = run;
  }

  /** Secret keys that deal subjects to shards and slices; they live as long as the model. */
  async placementKeys(): Promise<PlacementKeys> {
    const shardKey = await this.#state.secret(this.#tenant, `sisa-shard-${this.#run}`);
    const sliceKey = await this.#state.secret(this.#tenant, `sisa-slice-${this.#run}`);
    return { shardKey, sliceKey };
  }

  /** Stores the shards that changed and a new manifest. @param before refs of the shards so far, for those that did not, and who left */
  async put(
    version: number,
    shards: readonly ShardState[],
    before?: {
      readonly refs: ShardRefs;
      readonly changed: ReadonlySet<number>;
      readonly leftOut: readonly LeftOut[];
    },
  ): Promise<events.ArtefactRef> {
    const refs: events.ArtefactRef[] = [];
    for (const shard of shards) {
      const keep = before && !before.changed.has(shard.shard) ? before.refs[shard.shard] : undefined;
      const keyId = `learning-${this.#run}-v${version}-shard-${shard.shard}`;
      refs.push(keep ?? (await this.#state.put(this.#tenant, keyId, encodeShard(shard))));
    }
    const stored = refs.map((ref): StoredRef => ({ ...ref, sizeBytes: Number(ref.sizeBytes) }));
    const leftOut = before?.leftOut.map(({ alias, version: since }) => ({ alias, version: since })) ?? [];
    const named = leftOut.length > 0 ? { leftOut } : {};
    const manifest = utf8(canonicalJson({ format: 'lethe-ensemble-v1', shards: stored, ...named }));
    return await this.#state.put(this.#tenant, `learning-${this.#run}-v${version}`, manifest);
  }

  async refs(manifest: events.ArtefactRef): Promise<ShardRefs> {
    const { shards } = await this.#manifest(manifest);
    return shards.map((ref) => ({ ...ref, sizeBytes: BigInt(ref.sizeBytes) }));
  }

  async leftOut(manifest: events.ArtefactRef): Promise<readonly LeftOut[]> {
    return (await this.#manifest(manifest)).leftOut ?? [];
  }

  async #manifest(ref: events.ArtefactRef): Promise<Manifest> {
    const bytes = await this.#state.get(this.#tenant, ref);
    return JSON.parse(new TextDecoder().decode(bytes)) as Manifest;
  }

  async shard(ref: events.ArtefactRef): Promise<ShardState> {
    return decodeShard(await this.#state.get(this.#tenant, ref));
  }

  async shards(refs: ShardRefs): Promise<ShardState[]> {
    const shards: ShardState[] = [];
    for (const ref of refs) shards.push(await this.shard(ref));
    return shards;
  }

  /** The shards first and the manifest after them: it is the only list of what is left if this is cut short. */
  async destroy(manifest: events.ArtefactRef, shards: ShardRefs): Promise<void> {
    await this.#state.destroy(this.#tenant, shards);
    await this.#state.destroy(this.#tenant, [manifest]);
  }
}
