/** Aggregates of federations and their sealed state. */
import { type events, parseName, resourceName, type federation as wire } from '@lethe/contracts';
import { AggregateStore, aggregateFilter, readEnvelope, STREAMS } from '@lethe/events';
import { datasetOfRoot, SealedArtefacts, type ServiceDeps } from '@lethe/service';
import { hex, sha256 } from '@lethe/std';
import { ArtefactStore } from '@lethe/store';
import { type FederationAggregate, federationAggregate } from './domain/federation.ts';
import { decodeState, encodeState, type FederationState } from './domain/state.ts';
import { FEDERATION } from './errors.ts';

export interface Address {
  readonly tenant: string;
  readonly id: string;
  readonly name: string;
}

export type Existing = FederationAggregate & { readonly spec: wire.FederationSpec };

export const addressOf = (tenant: string, id: string): Address => ({
  tenant,
  id,
  name: resourceName('federation', tenant, id),
});

export function federationAddress(name: string): Address {
  const [tenant, id] = parseName('federation', name);
  return addressOf(tenant, id!);
}

export class Federations {
  readonly aggregates: AggregateStore<FederationAggregate, (typeof federationAggregate.events)[number]>;
  readonly #deps: ServiceDeps;
  readonly #sealed: SealedArtefacts;
  readonly #objects: ArtefactStore;

  constructor(deps: ServiceDeps) {
    this.#deps = deps;
    this.#sealed = new SealedArtefacts(deps);
    this.#objects = new ArtefactStore(deps.bus);
    this.aggregates = new AggregateStore(federationAggregate, {
      bus: deps.bus,
      source: 'federation',
      clock: deps.clock,
    });
  }

  /** @throws LETHE-4101 */
  async load({ tenant, id, name }: Address): Promise<Existing> {
    const { state } = await this.aggregates.load(tenant, id);
    const { spec } = state;
    if (!spec) throw FEDERATION.UNKNOWN('there is no such federation', { details: { federation: name } });
    return { ...state, spec };
  }

  /** Federations of a tenant whose labels come from one of these datasets. */
  async ofDatasets(tenant: string, datasets: readonly string[]): Promise<Address[]> {
    const found = new Map<string, Address>();
    const filter = aggregateFilter({ type: 'federation', tenant });
    for await (const message of this.#deps.bus.read(STREAMS.events, filter)) {
      const { aggregate } = readEnvelope(message);
      const address = addressOf(aggregate.tenant, aggregate.id);
      found.set(address.name, address);
    }
    const out: Address[] = [];
    for (const address of [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const { state } = await this.aggregates.load(tenant, address.id);
      if (state.spec && datasets.includes(datasetOfRoot(state.spec.root))) out.push(address);
    }
    return out;
  }

  /**
   * Under a key whose id follows from the version: what an attempt cut short has sealed dies with the version's key too.
   */
  async seal({ tenant, id }: Address, state: FederationState): Promise<events.ArtefactRef> {
    const keyId = `federation-state-${id}-v${state.version}`;
    const parent = resourceName('tenant', tenant);
    const { key } = await this.#deps.peers.vault.createArtefactKey({ parent, keyId });
    // The binding of SealedArtefacts, which opens and destroys it.
    const stored = await this.#objects.put(
      tenant,
      key,
      encodeState(state),
      `lethe-artefact-v1|${tenant}|${keyId}`,
    );
    return { object: stored.address, keyId, digest: stored.digest, sizeBytes: BigInt(stored.bytes) };
  }

  /** @throws LETHE-4113 the state is not the one of its event */
  async open({ tenant, name }: Address, trained: events.FederationTrained): Promise<FederationState> {
    const bytes = trained.state && (await this.#sealed.get(tenant, trained.state));
    if (bytes && hex(sha256(bytes)) === trained.state?.digest) return decodeState(bytes);
    throw FEDERATION.STATE_DAMAGED('the stored state is not the one of its event', {
      details: { federation: name, version: trained.version },
    });
  }

  async destroy({ tenant }: Address, ref: events.ArtefactRef | undefined): Promise<void> {
    await this.#sealed.destroy(tenant, [ref]);
  }

  /** Draws the class targets; parties never learn it. The vault gives the same one whenever it is asked. */
  async targetSecret({ tenant, id }: Address): Promise<Uint8Array> {
    const parent = resourceName('tenant', tenant);
    const keyId = `federation-targets-${id}`;
    return (await this.#deps.peers.vault.createArtefactKey({ parent, keyId })).key;
  }
}
