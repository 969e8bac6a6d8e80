export { type Config, readConfig, SERVICE } from './config.ts';
export { type CohortFrom, ContainedAliases } from './contained-aliases.ts';
export { Directory, directoryOf, type Listed } from './directory.ts';
export { type Containment, type ErasurePart, type Owner, takePart } from './erasure-part.ts';
export {
  type CreateService,
  type Host,
  type HostFacts,
  PLATFORM_FILE,
  runHost,
  runMain,
  startHost,
} from './host.ts';
export { loggedRoot, rootStatement } from './logged-root.ts';
export { datasetOfRoot, exclusions, type OpenedRecord, readRecords } from './records.ts';
export { isFinal } from './refusal.ts';
export { SealedArtefacts } from './sealed-artefacts.ts';
export type { Service, ServiceDeps } from './service.ts';
export { watch } from './watch.ts';
