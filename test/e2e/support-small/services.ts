/** The services of these tests: all of the platform's; while the federation service is unfinished, a stand-in for its part. */
import { existsSync } from 'node:fs';
import type { CreateService } from '@lethe/service';
import { takePart } from '@lethe/service';

const has = existsSync(new URL('../../../services/federation/src/index.ts', import.meta.url));

export const FEDERATED = has && process.env.LETHE_TEST_NO_FEDERATION === undefined;

const standIn: CreateService = (deps) => ({
  name: 'federation-stand-in',
  bindings: [],
  async start() {
    await takePart(deps, {
      owner: 'federation',
      contain: async () => ({ artefacts: [] }),
      erase: async () => ({ claims: [], needles: undefined, attestations: [] }),
    });
  },
  async close() {},
});

export const SERVICES: readonly CreateService[] = FEDERATED
  ? (await import('@lethe/platform')).ALL
  : [
      (await import('@lethe/vault-service/hosted')).hostedVault,
      (await import('@lethe/erasure-service/hosted')).hostedErasure,
      (await import('@lethe/audit-service/hosted')).hostedAudit,
      (await import('@lethe/hashing-service/hosted')).hostedHashing,
      (await import('@lethe/learning-service/hosted')).hostedLearning,
      standIn,
    ];
