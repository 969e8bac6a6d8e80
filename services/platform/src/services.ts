import { hostedAudit } from '@lethe/audit-service/hosted';
import { hostedErasure } from '@lethe/erasure-service/hosted';
import { hostedFederation } from '@lethe/federation-service/hosted';
import { hostedHashing } from '@lethe/hashing-service/hosted';
import { hostedLearning } from '@lethe/learning-service/hosted';
import type { CreateService } from '@lethe/service';
import { hostedVault } from '@lethe/vault-service/hosted';

/** Every service, the vault first: the others keep their keys there. */
export const ALL: readonly CreateService[] = [
  hostedVault,
  hostedErasure,
  hostedAudit,
  hostedHashing,
  hostedLearning,
  hostedFederation,
];
