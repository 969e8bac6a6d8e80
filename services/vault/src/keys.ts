/** The vault's keys by purpose, over the key store. Nothing is cached: a destroyed key is gone at the next use. */
import { isError } from '@lethe/std';
import { type KeyName, type KeyReceipt, type KeyStore, STORE } from '@lethe/store';
import { VAULT } from './errors.ts';

/** Not an id that a caller can name (ids have no dots): the key of the tenant's aliases and record digests. */
const TENANT_KEY = '.tenant';

export class Keys {
  readonly #store: KeyStore;

  constructor(store: KeyStore) {
    this.#store = store;
  }

  /** Made at the first use. @returns 32 bytes */
  tenant(tenant: string): Uint8Array {
    return this.#store.ensure([{ tenant, kind: 'artefact', id: TENANT_KEY }])[0]!;
  }

  /** Keys of these subjects, made where missing, in one transaction. @returns by alias */
  subjects(tenant: string, aliases: readonly string[]): Map<string, Uint8Array> {
    const keys = this.#store.ensure(aliases.map((alias) => subjectKey(tenant, alias)));
    return new Map(aliases.map((alias, i) => [alias, keys[i]!]));
  }

  /** @throws LETHE-2201, LETHE-2202 */
  subject(tenant: string, alias: string): Uint8Array {
    return this.#store.get(subjectKey(tenant, alias));
  }

  /** Overwrites the keys; again it returns the first receipts. */
  destroySubjects(tenant: string, aliases: readonly string[]): readonly KeyReceipt[] {
    return this.#store.destroy(aliases.map((alias) => subjectKey(tenant, alias)));
  }

  createArtefact(tenant: string, id: string): Uint8Array {
    return this.#store.ensure([{ tenant, kind: 'artefact', id }])[0]!;
  }

  /** @throws LETHE-4010 */
  artefact(tenant: string, id: string): Uint8Array {
    try {
      return this.#store.get({ tenant, kind: 'artefact', id });
    } catch (cause) {
      if (isError(cause, STORE.KEY_NOT_FOUND) || isError(cause, STORE.KEY_DESTROYED)) {
        throw VAULT.KEY_UNKNOWN(`there is no key ${id}`, { details: { key: id }, cause });
      }
      throw cause;
    }
  }

  destroyArtefacts(tenant: string, ids: readonly string[]): number {
    const names = ids.map((id): KeyName => ({ tenant, kind: 'artefact', id }));
    const living = names.filter((name) => this.#store.has(name)).length;
    this.#store.destroy(names);
    return living;
  }

  close(): void {
    this.#store.close();
  }
}

const subjectKey = (tenant: string, alias: string): KeyName => ({ tenant, kind: 'subject', id: alias });
