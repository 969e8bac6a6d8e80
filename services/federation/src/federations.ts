/** Aggregates of federations and their sealed state. */
import { type events, parseName, resourceName, type federation as wire } from '@lethe/contracts';
import { AggregateStore } from '@lethe/events';
import {
  type Directory,
  datasetOfRoot,
  directoryOf,
  SealedArtefacts,
  type ServiceDeps,
} from '@lethe/service';
import { hex, sha256 } from '@lethe/std';
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
  readonly #directory: Directory;
  readonly #sealed: SealedArtefacts;

  constructor(deps: ServiceDeps) {
    this.#directory = directoryOf(deps.bus, federationAggregate.type);
    this.#sealed = new SealedArtefacts(deps);
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
    const out: Address[] = [];
    for (const { id } of await this.#directory.ofTenant(tenant)) {
      const { state } = await this.aggregates.load(tenant, id);
      if (state.spec && datasets.includes(datasetOfRoot(state.spec.root))) out.push(addressOf(tenant, id));
    }
    return out;
  }

  /** @param root number of the root whose records were added to the version's rows; none for a version as it was trained */
  async seal({ tenant, id }: Address, state: FederationState, root?: number): Promise<events.ArtefactRef> {
    const added = root === undefined ? '' : `-root-${root}`;
    const keyId = `federation-state-${id}-v${state.version}${added}`;
    return await this.#sealed.put(tenant, keyId, encodeState(state));
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
    return await this.#sealed.secret(tenant, `federation-targets-${id}`);
  }
}
