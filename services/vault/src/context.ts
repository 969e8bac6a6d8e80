import type { AggregateStore } from '@lethe/events';
import type { ContainedAliases, SealedArtefacts, ServiceDeps } from '@lethe/service';
import type { Datasets } from './datasets.ts';
import type { VaultErasure, vaultErasure } from './domain/erasure.ts';
import type { Keys } from './keys.ts';
import type { RecordLog } from './record-log.ts';

/** A directory that the scan reads, and what a reader of the certificate should call it. */
export interface ScanRoot {
  readonly name: string;
  readonly path: string;
}

/** Everything that the vault's methods and consumers work with. */
export interface VaultContext extends Pick<ServiceDeps, 'bus' | 'clock' | 'random' | 'logger'> {
  readonly keys: Keys;
  readonly records: RecordLog;
  readonly datasets: Datasets;
  /** Aliases of whom nothing is stored or read any more. */
  readonly suppression: ContainedAliases;
  readonly artefacts: SealedArtefacts;
  readonly erasures: AggregateStore<VaultErasure, (typeof vaultErasure.events)[number]>;
  /** Batches that are being stored now: containment waits for them. */
  readonly ingesting: Set<Promise<void>>;
  readonly scanRoots: readonly ScanRoot[];
  /** Stores that hold our bytes where this process cannot look, with the reason: they are named in the evidence. */
  readonly unscanned: readonly { readonly name: string; readonly reason: string }[];
}
