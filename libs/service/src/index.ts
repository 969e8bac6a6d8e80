export { type Containment, type ErasurePart, type Owner, SAGA_EVENTS, takePart } from './erasure-part.ts';
export { datasetOfRoot, exclusions, type OpenedRecord, readRecords } from './records.ts';
export { artefactContext, SealedArtefacts } from './sealed-artefacts.ts';
export type { Service, ServiceDeps } from './service.ts';
export { watch } from './watch.ts';
