/** The typed SDK: one object with a client per service. */
import { audit, erasure, federation, hashing, learning, vault } from '@lethe/contracts';
import { type ClientOf, type Connection, type ConnectOptions, connect } from '@lethe/rpc';

export interface Lethe {
  readonly vault: ClientOf<typeof vault.VaultServiceDefinition>;
  readonly hashing: ClientOf<typeof hashing.HashingServiceDefinition>;
  readonly learning: ClientOf<typeof learning.LearningServiceDefinition>;
  readonly federation: ClientOf<typeof federation.FederationServiceDefinition>;
  readonly audit: ClientOf<typeof audit.AuditServiceDefinition>;
  readonly erasure: ClientOf<typeof erasure.ErasureServiceDefinition>;
  close(): void;
}

export type Part = 'vault' | 'hashing' | 'learning' | 'federation' | 'audit' | 'erasure';

/**
 * Clients of a platform. `addresses` names services that do not live at the common address, as in a cluster where every
 * service has its own.
 */
export function lethe(
  options: ConnectOptions & { readonly addresses?: Partial<Record<Part, string>> },
): Lethe {
  const connections = new Map<string, Connection>();
  const at = (part: Part): Connection => {
    const address = options.addresses?.[part] ?? options.address;
    let connection = connections.get(address);
    if (!connection) {
      connection = connect({ ...options, address });
      connections.set(address, connection);
    }
    return connection;
  };
  return {
    vault: at('vault').client(vault.VaultServiceDefinition),
    hashing: at('hashing').client(hashing.HashingServiceDefinition),
    learning: at('learning').client(learning.LearningServiceDefinition),
    federation: at('federation').client(federation.FederationServiceDefinition),
    audit: at('audit').client(audit.AuditServiceDefinition),
    erasure: at('erasure').client(erasure.ErasureServiceDefinition),
    close: () => {
      for (const connection of connections.values()) connection.close();
    },
  };
}
