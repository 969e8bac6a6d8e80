/**
 * Who may call what: one table, RPC × role. A method that is not listed, or a role that a method does not name, is denied.
 *
 * platform   services among themselves and the platform team
 * client     applications that ingest, search and predict
 * party      a federation party
 * auditor    requests erasures, runs audits, reads certificates
 */
export const ROLES = ['platform', 'client', 'party', 'auditor'] as const;
export type Role = (typeof ROLES)[number];

const all: readonly Role[] = ROLES;

export const ACCESS: Readonly<Record<string, readonly Role[]>> = {
  '/lethe.vault.v1.VaultService/CreateDataset': ['platform', 'client'],
  '/lethe.vault.v1.VaultService/GetDataset': ['platform', 'client', 'auditor'],
  '/lethe.vault.v1.VaultService/Ingest': ['platform', 'client'],
  '/lethe.vault.v1.VaultService/CommitDatasetRoot': ['platform', 'client'],
  '/lethe.vault.v1.VaultService/GetDatasetRoot': ['platform', 'client', 'auditor'],
  '/lethe.vault.v1.VaultService/ReadRecords': ['platform'],
  '/lethe.vault.v1.VaultService/ResolveSubject': ['platform', 'auditor'],
  '/lethe.vault.v1.VaultService/CreateArtefactKey': ['platform'],
  '/lethe.vault.v1.VaultService/GetArtefactKey': ['platform'],
  '/lethe.vault.v1.VaultService/DestroyArtefactKeys': ['platform'],
  '/lethe.hashing.v1.HashingService/CreateHashFunction': ['platform', 'client'],
  '/lethe.hashing.v1.HashingService/GetHashFunction': ['platform', 'client', 'auditor'],
  '/lethe.hashing.v1.HashingService/ListHashFunctions': ['platform', 'client', 'auditor'],
  '/lethe.hashing.v1.HashingService/WatchHashFunction': ['platform', 'client', 'auditor'],
  '/lethe.hashing.v1.HashingService/CreateUpdate': ['platform', 'client'],
  '/lethe.hashing.v1.HashingService/PromoteHashVersion': ['platform', 'client'],
  '/lethe.hashing.v1.HashingService/Encode': ['platform', 'client'],
  '/lethe.hashing.v1.HashingService/Search': ['platform', 'client', 'auditor'],
  '/lethe.hashing.v1.HashingService/Predict': ['platform', 'client', 'auditor'],
  '/lethe.hashing.v1.HashingService/ListCodes': ['platform', 'auditor'],
  '/lethe.hashing.v1.HashingService/ListNearDuplicates': ['platform', 'auditor'],
  '/lethe.hashing.v1.HashingService/ListQuarantine': ['platform'],
  '/lethe.hashing.v1.HashingService/ResolveQuarantine': ['platform'],
  '/lethe.hashing.v1.HashingService/GetInclusionProof': ['platform', 'auditor'],
  '/lethe.hashing.v1.HashingService/GetErasureProof': ['platform', 'auditor'],
  '/lethe.hashing.v1.HashingService/GetHashMetrics': ['platform', 'client', 'auditor'],
  '/lethe.hashing.v1.HashingService/CreateHashCheck': ['platform', 'auditor'],
  '/lethe.hashing.v1.HashingService/GetHashCheck': ['platform', 'auditor'],
  '/lethe.hashing.v1.HashingService/WatchHashCheck': ['platform', 'auditor'],
  '/lethe.learning.v1.LearningService/CreateTrainingRun': ['platform', 'client'],
  '/lethe.learning.v1.LearningService/GetTrainingRun': ['platform', 'client', 'auditor'],
  '/lethe.learning.v1.LearningService/WatchTrainingRun': ['platform', 'client', 'auditor'],
  '/lethe.learning.v1.LearningService/ListTrainingRuns': ['platform', 'client', 'auditor'],
  '/lethe.learning.v1.LearningService/CancelTrainingRun': ['platform', 'client'],
  '/lethe.learning.v1.LearningService/ResumeTrainingRun': ['platform', 'client'],
  '/lethe.learning.v1.LearningService/GetModel': ['platform', 'client', 'auditor'],
  '/lethe.learning.v1.LearningService/ListModels': ['platform', 'client', 'auditor'],
  '/lethe.learning.v1.LearningService/PromoteModel': ['platform', 'client'],
  '/lethe.learning.v1.LearningService/GetPrivacyBudget': ['platform', 'client', 'auditor'],
  '/lethe.learning.v1.LearningService/GetSubjectSpending': ['platform', 'auditor'],
  // Whoever trains does not set the limit.
  '/lethe.learning.v1.LearningService/SetPrivacyBudget': ['platform'],
  '/lethe.learning.v1.LearningService/Predict': ['platform', 'client', 'auditor'],
  '/lethe.learning.v1.LearningService/PlanErasure': ['platform', 'auditor'],
  '/lethe.learning.v1.LearningService/GetReplay': ['platform', 'auditor'],
  '/lethe.federation.v1.FederationService/CreateFederation': ['platform', 'client'],
  '/lethe.federation.v1.FederationService/GetFederation': ['platform', 'client', 'party', 'auditor'],
  '/lethe.federation.v1.FederationService/WatchFederation': ['platform', 'client', 'party', 'auditor'],
  '/lethe.federation.v1.FederationService/Join': ['party'],
  '/lethe.federation.v1.FederationService/Predict': ['platform', 'client'],
  '/lethe.audit.v1.AuditService/CreateAudit': ['platform', 'auditor'],
  '/lethe.audit.v1.AuditService/GetAudit': ['platform', 'auditor'],
  '/lethe.audit.v1.AuditService/WatchAudit': ['platform', 'auditor'],
  '/lethe.audit.v1.AuditService/ListExclusions': ['platform'],
  '/lethe.erasure.v1.ErasureService/CreateErasureRequest': ['platform', 'auditor'],
  '/lethe.erasure.v1.ErasureService/GetErasureRequest': ['platform', 'auditor'],
  '/lethe.erasure.v1.ErasureService/ListErasureRequests': ['platform', 'auditor'],
  '/lethe.erasure.v1.ErasureService/WatchErasureRequest': ['platform', 'auditor'],
  '/lethe.erasure.v1.ErasureService/GetCertificate': ['platform', 'auditor'],
  '/lethe.erasure.v1.ErasureService/GetVerifyKey': ['platform', 'client', 'auditor'],
  '/lethe.erasure.v1.ErasureService/GetLogStatement': ['platform', 'client', 'auditor'],
  '/grpc.health.v1.Health/Check': all,
  '/grpc.health.v1.Health/Watch': all,
  '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo': all,
};

/** Methods that probes and tools call before they have an identity. Nothing about a tenant can be learned from them. */
export const ANONYMOUS: ReadonlySet<string> = new Set([
  '/grpc.health.v1.Health/Check',
  '/grpc.health.v1.Health/Watch',
  '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
]);
