export * from './attacks/index.ts';
export * from './codebook.ts';
export * from './cross-modal.ts';
export * from './deep/index.ts';
export * from './drift/index.ts';
export * from './errors.ts';
export * from './features.ts';
export * from './function.ts';
export * from './hamming.ts';
export * from './ledger.ts';
export * from './methods/index.ts';
export * from './metrics.ts';
export * from './predict.ts';
export * from './quantise.ts';
export * from './query-codes.ts';
export type { ChunksHandle } from './search/chunks.ts';
export { SharedScan, serveSharedScans, type TableNews } from './search/shared-scan.ts';
export {
  CodeTable,
  type CodeTableOptions,
  ITEM_ID_BYTES,
  laneBits,
  type SearchPlan,
} from './search/table.ts';
export type { CodeSearch, CodeTableLike, LaneBits, Neighbour, SearchOptions } from './search/types.ts';
export * from './segment.ts';
export * from './solve.ts';
export * from './statistics.ts';
export * from './versions/index.ts';
