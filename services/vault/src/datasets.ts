/** Datasets of a tenant: specification, roots, and what is present. The domain's decisions with their I/O around them. */
import { parseName, resourceName, type vault } from '@lethe/contracts';
import { type DatasetSpec, decodeSpec } from '@lethe/datasets';
import { AggregateStore, type Bus } from '@lethe/events';
import type { Partially } from '@lethe/rpc';
import { type Directory, directoryOf } from '@lethe/service';
import { type Clock, fromHex } from '@lethe/std';
import { type CommittedRoot, commitRoot, type Dataset, dataset } from './domain/dataset.ts';
import { VAULT } from './errors.ts';
import { lastPosition, type RecordLog, treeOf } from './record-log.ts';

export class Datasets {
  readonly store: AggregateStore<Dataset, (typeof dataset.events)[number]>;
  readonly #directory: Directory;
  readonly #records: RecordLog;
  readonly #specs = new Map<string, DatasetSpec>();

  constructor(deps: { readonly bus: Bus; readonly clock: Clock }, records: RecordLog) {
    this.#directory = directoryOf(deps.bus, dataset.type);
    this.#records = records;
    this.store = new AggregateStore(dataset, { bus: deps.bus, source: 'vault', clock: deps.clock });
  }

  /** @throws LETHE-4001 */
  async load(tenant: string, id: string): Promise<Dataset & { readonly spec: Uint8Array }> {
    const { state } = await this.store.load(tenant, id);
    const { spec } = state;
    if (!spec) throw VAULT.DATASET_UNKNOWN(`there is no dataset ${id}`, { details: { dataset: id } });
    return { ...state, spec };
  }

  async spec(tenant: string, id: string): Promise<DatasetSpec> {
    const key = `${tenant}/${id}`;
    let spec = this.#specs.get(key);
    if (!spec) {
      spec = decodeSpec((await this.load(tenant, id)).spec);
      this.#specs.set(key, spec);
    }
    return spec;
  }

  /** @throws LETHE-4003 */
  async root(name: string): Promise<{ tenant: string; dataset: string; root: CommittedRoot }> {
    const [tenant, id, number] = parseName('datasetRoot', name);
    const { roots } = await this.load(tenant, id!);
    const root = roots.find((candidate) => String(candidate.number) === number);
    if (!root) throw VAULT.ROOT_UNKNOWN('there is no such root', { details: { root: name } });
    return { tenant, dataset: id!, root };
  }

  /** Commits what is present. @param eventId a repeated call with the same one returns the same root */
  async commit(tenant: string, id: string, eventId: string, erasure = ''): Promise<CommittedRoot> {
    await this.load(tenant, id);
    const present = (await this.#records.index(tenant, id)).values().toArray();
    const tree = treeOf(present);
    const shape = { root: tree.root(), count: tree.size, lastPosition: lastPosition(present) };
    const name = resourceName('dataset', tenant, id);
    const { state } = await this.store.propose(tenant, id, (now) =>
      commitRoot(now, name, shape, eventId, erasure),
    );
    return state.roots.find((root) => root.eventId === eventId)!;
  }

  /** Ids of a tenant's datasets, oldest first. */
  async list(tenant: string): Promise<string[]> {
    return (await this.#directory.ofTenant(tenant)).map(({ id }) => id);
  }

  async resource(tenant: string, id: string): Promise<Partially<vault.Dataset>> {
    const state = await this.load(tenant, id);
    const present = (await this.#records.index(tenant, id)).values().toArray();
    const name = resourceName('dataset', tenant, id);
    const latest = state.roots.at(-1);
    return {
      name,
      spec: state.spec,
      specDigest: state.specDigest,
      recordCount: BigInt(present.length),
      subjectCount: BigInt(new Set(present.map((record) => record.alias)).size),
      createTime: new Date(state.createdMs),
      latestRoot: latest ? `${name}/roots/${latest.number}` : '',
    };
  }
}

export function rootResource(tenant: string, id: string, root: CommittedRoot): Partially<vault.DatasetRoot> {
  return {
    name: resourceName('datasetRoot', tenant, id, String(root.number)),
    root: fromHex(root.root),
    recordCount: BigInt(root.recordCount),
    lastPosition: BigInt(root.lastPosition),
    createTime: new Date(root.atMs),
  };
}
