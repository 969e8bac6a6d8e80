import { type CertificateLog, logPosition, signCheckpoint } from '@lethe/certificate';
import { EVENT } from '@lethe/contracts';
import { AggregateStore, type Bus, newEvent } from '@lethe/events';
import { MerkleLog } from '@lethe/merkle';
import type { Clock } from '@lethe/std';
import { indexOfDigest, LOG_ID, type LogEntry, type LogState, logAggregate } from './domain/log.ts';
import { leafData, type Statement, statementDigest } from './domain/statements.ts';
import type { Keys } from './keys.ts';

/** The log of every tenant: statements on the bus, trees over them in memory. */
export class TransparencyLog {
  readonly #store: AggregateStore<LogState, (typeof logAggregate.events)[number]>;
  readonly #keys: Keys;
  /** Grown to the newest entries; an earlier size is read from the same tree. */
  readonly #trees = new Map<string, MerkleLog>();

  constructor(deps: { readonly bus: Bus; readonly clock: Clock }, keys: Keys) {
    this.#store = new AggregateStore(logAggregate, { bus: deps.bus, source: 'erasure', clock: deps.clock });
    this.#keys = keys;
  }

  /** Once per statement, however often it is called. @returns its index */
  async append(tenant: string, statement: Statement): Promise<number> {
    const data = leafData(statement);
    const digest = statementDigest(data);
    const { state } = await this.#store.propose(tenant, LOG_ID, (log) =>
      indexOfDigest(log, digest) >= 0
        ? []
        : [
            newEvent(
              EVENT.logAppended,
              { index: BigInt(log.entries.length), statement: data },
              `log:${digest}`,
            ),
          ],
    );
    return indexOfDigest(state, digest);
  }

  async load(tenant: string): Promise<LogState> {
    return (await this.#store.load(tenant, LOG_ID)).state;
  }

  /** @param digest SHA-256 of the canonical statement, hex */
  async find(tenant: string, digest: string): Promise<{ index: number; entry: LogEntry } | undefined> {
    const state = await this.load(tenant);
    const index = indexOfDigest(state, digest);
    const entry = state.entries[index];
    return entry && { index, entry };
  }

  /** @param size default all entries */
  async root(tenant: string, size?: number): Promise<Uint8Array> {
    return (await this.#tree(tenant)).root(size);
  }

  /** Signed note over the present end, null for an empty log. */
  async checkpoint(tenant: string): Promise<string | null> {
    const tree = await this.#tree(tenant);
    return tree.size === 0 ? null : this.#sign(tenant, tree, tree.size);
  }

  /** Proofs for a certificate, all under the checkpoint that the certificate's own statement completes. */
  async proofs(tenant: string, certificate: number, statements: readonly number[]): Promise<CertificateLog> {
    const tree = await this.#tree(tenant);
    const size = Math.max(certificate, ...statements) + 1;
    return {
      certificate: logPosition(tree, certificate, size),
      statements: statements.map((index) => logPosition(tree, index, size)),
      checkpoint: this.#sign(tenant, tree, size),
      previous: null,
    };
  }

  #sign(tenant: string, tree: MerkleLog, size: number): string {
    const checkpoint = { origin: this.#keys.origin(tenant), size, root: tree.root(size) };
    return signCheckpoint(checkpoint, this.#keys.log(tenant));
  }

  async #tree(tenant: string): Promise<MerkleLog> {
    const { entries } = await this.load(tenant);
    let tree = this.#trees.get(tenant);
    if (!tree) {
      tree = new MerkleLog();
      this.#trees.set(tenant, tree);
    }
    for (const entry of entries.slice(tree.size)) tree.appendLeafHash(entry.leafHash);
    return tree;
  }
}
