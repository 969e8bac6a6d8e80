/** A version of a function in memory, ready to encode and search: built from its state, replaced as a whole by the next version. */
import { byteMatrix, type DatasetSpec, decodePayload, decodeSpec, type Row } from '@lethe/datasets';
import {
  CodeLedger,
  createFeatureMap,
  encodeFeatures,
  encodeLedgerEntry,
  type FeatureMap,
  HammingIndex,
  type Neighbour,
  statisticsDigest,
  weightsDigest,
} from '@lethe/hashing';
import { leafHash } from '@lethe/merkle';
import { hex } from '@lethe/std';
import { type FunctionState, type Item, liveItems } from './domain/state.ts';

export interface FoundItem extends Neighbour {
  readonly item: Item;
}

export class Learned {
  readonly state: FunctionState;
  readonly spec: DatasetSpec;
  readonly map: FeatureMap;
  readonly ledger: CodeLedger;
  readonly #index: HammingIndex;
  /** By lane of the index. */
  readonly #items: readonly Item[];
  #mask: { generation: number; lanes: Uint8Array } | undefined;

  constructor(state: FunctionState) {
    const { codeBits } = state.fn.codebook;
    this.state = state;
    this.spec = decodeSpec(state.datasetSpec);
    this.map = createFeatureMap(state.fn.features);
    this.ledger = new CodeLedger(codeBits);
    for (const entry of state.entries) this.ledger.append(entry);
    this.#items = liveItems(state.entries);
    this.#index = new HammingIndex(codeBits);
    for (const item of this.#items) this.#index.add(item.itemId, item.code);
  }

  get version(): number {
    return this.state.fn.version;
  }

  get items(): readonly Item[] {
    return this.#items;
  }

  get weightsDigest(): string {
    return hex(weightsDigest(this.state.fn));
  }

  get sumsDigest(): string {
    return hex(statisticsDigest(this.state.statistics));
  }

  /** Labels of the items, ascending. */
  get classes(): number[] {
    return [...new Set(this.#items.map((item) => item.label))].sort((a, b) => a - b);
  }

  /** @throws LETHE-23xx the payload is not one of this dataset */
  decode(payload: Uint8Array): Row {
    return decodePayload(this.spec, payload);
  }

  /** @returns codes of the rows, K / 8 bytes each, one after the other */
  encode(rows: readonly Row[]): Uint8Array {
    return encodeFeatures(this.state.fn, this.map.apply(byteMatrix(this.spec, rows)));
  }

  /**
   * The k nearest items of persons who are not masked.
   * @param masks aliases to leave out; `generation` must change with them
   * @param fits condition on items beside the masks  @throws LETHE-3406 wrong code length
   */
  search(
    code: Uint8Array,
    k: number,
    masks: { readonly generation: number; readonly aliases: ReadonlySet<string> },
    fits?: (item: Item) => boolean,
  ): FoundItem[] {
    if (this.#mask?.generation !== masks.generation) {
      const lanes = Uint8Array.from(this.#items, ({ alias }) => (masks.aliases.has(alias) ? 0 : 1));
      this.#mask = { generation: masks.generation, lanes };
    }
    const unmasked = this.#mask.lanes;
    const lanes = fits ? unmasked.map((live, lane) => live && Number(fits(this.#items[lane]!))) : unmasked;
    return this.#index
      .search(code, k, lanes)
      .map((neighbour) => ({ ...neighbour, item: this.#items[neighbour.lane]! }));
  }

  /** RFC 6962 leaf hash of an item in the ledger. */
  leafHashOf(item: Item): Uint8Array {
    return leafHash(encodeLedgerEntry(item));
  }

  /**
   * Overwrites what this version holds of the items. For the version before an erasure, once nobody answers from it: item
   * objects are shared with nothing that lives on, and the garbage collector gives no promise of its own.
   */
  scrub(items: readonly Item[]): void {
    for (const item of items) this.#index.erase(item.itemId);
    this.ledger.erase(
      items.map((item) => item.itemId),
      0n,
    );
    for (const item of items) for (const bytes of [item.code, item.salt, item.features]) bytes.fill(0);
  }
}
