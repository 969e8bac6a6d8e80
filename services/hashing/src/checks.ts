/**
 * Attack checks as jobs. A check copies what it needs of the newest version, works on the copy between searches, and is interrupted
 * by an erasure: the copy is overwritten, and the check starts again on the version without the person.
 */
import { EVENT, type events, hashing, resourceName } from '@lethe/contracts';
import { AggregateStore, effectId, newEvent } from '@lethe/events';
import { type Directory, directoryOf, isFinal, type ServiceDeps } from '@lethe/service';
import { concatBytes, fromHex, hex, sha256, utf8 } from '@lethe/std';
import { hubs, targeted, uniqueness } from './check-kinds.ts';
import { functionAddress, type HashingContext, servingOf } from './context.ts';
import { type CheckAggregate, hashCheck, isSettled } from './domain/check.ts';
import { HASHING_SERVICE } from './errors.ts';
import type { Address } from './functions.ts';
import type { Learned } from './learned.ts';
import { editQuarantine, withHubs } from './quarantine.ts';

/** What a kind of check gives. */
export interface Found {
  readonly outcome: NonNullable<hashing.HashCheckResult['outcome']>;
  readonly alarm: boolean;
  /** Items that an auditor may look at. */
  readonly flagged: readonly Uint8Array[];
  /** Those of them that a quarantine may hold, the most conspicuous first. */
  readonly toHold: readonly Uint8Array[];
}

/** What a kind of check works with. */
export interface Checked {
  readonly context: HashingContext;
  readonly address: Address;
  readonly spec: hashing.HashCheckSpec;
  /** Modality number. */
  readonly part: number;
  /** Copies from the newest version; again from the next one if an update comes in between. */
  readonly fromNewest: <T>(copy: (learned: Learned) => Promise<T>) => Promise<T>;
  /** Lets other work have its turn. @throws if an erasure has come */
  readonly breathe: () => Promise<void>;
  /** Memory to be overwritten when the check ends, whichever way. */
  readonly wipe: <B extends Uint8Array>(bytes: B) => B;
}

const KINDS: Readonly<Record<number, (checked: Checked) => Promise<Found>>> = {
  [hashing.HashCheckSpec_Kind.KIND_TARGETED]: targeted,
  [hashing.HashCheckSpec_Kind.KIND_HUBS]: hubs,
  [hashing.HashCheckSpec_Kind.KIND_UNIQUENESS]: uniqueness,
};

export const isKind = (kind: hashing.HashCheckSpec_Kind): boolean => kind in KINDS;

interface Running {
  readonly interruption: AbortController;
  done: Promise<unknown>;
}

export class Checks {
  readonly aggregates: AggregateStore<CheckAggregate, (typeof hashCheck.events)[number]>;
  readonly #directory: Directory;
  readonly #running = new Map<string, Set<Running>>();

  constructor({ bus, clock }: ServiceDeps) {
    this.aggregates = new AggregateStore(hashCheck, { bus, source: 'hashing', clock });
    this.#directory = directoryOf(bus, hashCheck.type);
  }

  /** Work that an erasure ends. @returns undefined if it did */
  async interruptible<T>(
    { name }: Address,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    const interruption = new AbortController();
    const mine: Running = { interruption, done: Promise.resolve() };
    const all = this.#running.get(name) ?? new Set();
    this.#running.set(name, all.add(mine));
    const working = work(interruption.signal);
    mine.done = working.catch(() => undefined);
    try {
      return await working;
    } catch (error) {
      if (interruption.signal.aborted) return undefined;
      throw error;
    } finally {
      all.delete(mine);
    }
  }

  /** Called before an erasure and after it: ends what runs, destroys the lists of flagged items. */
  async forget({ tenant, name }: Address, sealed: HashingContext['functions']['sealed']): Promise<void> {
    for (const { interruption } of this.#running.get(name) ?? []) interruption.abort();
    await Promise.all([...(this.#running.get(name) ?? [])].map(({ done }) => done));
    for (const { id } of await this.#directory.ofTenant(tenant)) {
      const { spec, completed } = (await this.aggregates.load(tenant, id)).state;
      if (spec?.function === name) await sealed.destroy(tenant, [completed?.flagged]);
    }
  }
}

/** Runs a check that was requested, unless its result is there. After a crash from the beginning. */
export async function onCheckRequested(context: HashingContext, tenant: string, id: string): Promise<void> {
  const { checks, logger } = context;
  const { state } = await checks.aggregates.load(tenant, id);
  const { spec, byPlatform } = state;
  if (!spec || isSettled(state)) return;
  const check = resourceName('hashCheck', tenant, id);
  try {
    while (!(await attempt(context, tenant, id, check, { spec, byPlatform }))) {
      // An erasure has come in between: again, without the person.
    }
  } catch (error) {
    if (!isFinal(error)) throw error;
    logger.warn('a check could not be made', { check, error });
    const { code, message } = error;
    const failed = newEvent(
      EVENT.hashCheckFailed,
      { check, code, message },
      effectId(check, EVENT.hashCheckFailed.type),
    );
    await checks.aggregates.propose(tenant, id, (now) => (isSettled(now) ? [] : [failed]));
  }
}

/** @returns false if an erasure has interrupted it */
async function attempt(
  context: HashingContext,
  tenant: string,
  id: string,
  check: string,
  { spec, byPlatform }: { readonly spec: hashing.HashCheckSpec; readonly byPlatform: boolean },
): Promise<boolean> {
  const { checks, functions } = context;
  const address = functionAddress(spec.function);
  const { learned: first } = await servingOf(context, address.name);
  const part = partOf(first, spec);
  let version = 0;
  const found = await checks.interruptible(address, async (signal) => {
    const wiped: Uint8Array[] = [];
    const breathe = async (): Promise<void> => {
      await new Promise((done) => setImmediate(done));
      signal.throwIfAborted();
    };
    try {
      return await KINDS[spec.kind]!({
        ...{ context, address, spec, part, breathe },
        wipe: (bytes) => {
          wiped.push(bytes);
          return bytes;
        },
        fromNewest: async (copy) => {
          for (;;) {
            const { learned } = await servingOf(context, address.name);
            version = learned.version;
            const release = learned.hold();
            try {
              return await copy(learned);
            } catch (error) {
              // An update has replaced a piece of the state while it was being read.
              if (functions.loaded(address)?.learned === learned) throw error;
            } finally {
              release();
            }
            await breathe();
          }
        },
      });
    } finally {
      for (const bytes of wiped) bytes.fill(0);
    }
  });
  if (!found) return false;
  return await functions.inTurn(address, async () => {
    const { current, erasures, spec: declared } = await functions.load(address);
    const since = Object.values(erasures).some((made) => made.version > version);
    if (!current || since) return false;
    const { outcome, alarm, flagged, toHold } = found;
    if (outcome.$case === 'hubs' && byPlatform && declared.quarantine?.flaggedHubs) {
      await editQuarantine(context, address, (learned) => {
        const next = withHubs(learned, toHold);
        const held = new Set((next ?? learned.head.quarantine).map(({ position }) => position));
        const isHeld = (id: Uint8Array): boolean => held.has(learned.index.indexOf(id));
        outcome.value.heldItems = BigInt(flagged.filter(isHeld).length);
        return next;
      });
    }
    const list =
      flagged.length > 0
        ? await functions.sealed.put(tenant, flaggedKeyId(check), encodeIds(flagged))
        : undefined;
    const completed: events.HashCheckCompleted = {
      check,
      result: { functionVersion: version, alarm, outcome },
      flagged: list,
    };
    const event = newEvent(
      EVENT.hashCheckCompleted,
      completed,
      effectId(check, EVENT.hashCheckCompleted.type),
    );
    await checks.aggregates.propose(tenant, id, (now) => (isSettled(now) ? [] : [event]));
    return true;
  });
}

/** @throws LETHE-4207 no such modality, or several and none is named */
export function partOf({ modalities }: Learned, { modality }: hashing.HashCheckSpec): number {
  const part = modality === '' && modalities.length === 1 ? 0 : modalities.indexOf(modality);
  if (part >= 0) return part;
  const why =
    modality === '' ? 'the function has several modalities: name one' : 'the function has no such modality';
  throw HASHING_SERVICE.REQUEST_INVALID(why, { details: { field: 'spec.modality' } });
}

const flaggedKeyId = (check: string): string => `hash-check-${hex(sha256(check)).slice(0, 32)}`;

const encodeIds = (ids: readonly Uint8Array[]): Uint8Array => utf8(hex(concatBytes(...ids)));

const ID_BYTES = 16;

/** Item ids of a stored list. */
export function decodeIds(bytes: Uint8Array): Uint8Array[] {
  const all = fromHex(new TextDecoder().decode(bytes));
  return Array.from({ length: all.length / ID_BYTES }, (_, i) => all.slice(i * ID_BYTES, (i + 1) * ID_BYTES));
}
