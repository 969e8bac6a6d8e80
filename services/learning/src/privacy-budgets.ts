/** Reserving, settling and reading the privacy of a dataset. What is decided is in `domain/privacy-budget.ts`. */
import { EVENT, type events, parseName, resourceName } from '@lethe/contracts';
import { AggregateStore, newEvent } from '@lethe/events';
import {
  privacyBudget as checkedBudget,
  type OpaqueGuarantee,
  type PlanCost,
  type PrivacyUnit,
  parsePlan,
  planBytes,
  planHash,
} from '@lethe/privacy';
import { type Directory, datasetOfRoot, directoryOf } from '@lethe/service';
import { isError } from '@lethe/std';
import { type LearningContext, type LoadedRun, runName } from './context.ts';
import {
  type DatasetPrivacy,
  type Held,
  heldOf,
  type PrivacyBudgetEvent,
  privacyBudget,
  type Reservation,
  reservationOf,
} from './domain/privacy-budget.ts';
import { attemptOf, isRunning, stepsCharged } from './domain/training-run.ts';
import { LEARNING } from './errors.ts';
import { accounting, type Part } from './training/accounting.ts';

/** Others that reserve at the same time win so often at most. */
const ROUNDS_MAX = 30;
/** A request that is still under way is not older than this; its deadline is far shorter. */
const ORPHAN_MS = 10 * 60_000;
/** Below it accountants have no numbers. */
const DELTA_MIN = 1e-100;
const RELATION = 'add-or-remove-one';

export interface Wanted {
  readonly tenant: string;
  /** Resource name. */
  readonly dataset: string;
  /** Resource name. */
  readonly run: string;
  /** Canonical JSON. */
  readonly plan: Uint8Array;
  readonly attempt: number;
}

export class PrivacyBudgets {
  readonly #context: LearningContext;
  readonly #store: AggregateStore<DatasetPrivacy, PrivacyBudgetEvent>;
  readonly #directory: Directory;

  constructor(context: LearningContext) {
    const { bus, clock } = context.deps;
    this.#context = context;
    this.#store = new AggregateStore(privacyBudget, { bus, source: 'learning', clock });
    this.#directory = directoryOf(bus, privacyBudget.type);
  }

  /**
   * Reserves a run's whole plan. Returns once it stands; at once if it stands already, made by whoever else wants the same. Priced on another thread against the version that was read; if somebody
   * else was first, again against the new one.
   * @throws LETHE-3309 it does not fit, LETHE-3307 it is of another unit than the limit, LETHE-4302 the run has reserved for another plan,
   * LETHE-4314 a later attempt has, LETHE-4318
   * @returns whether this very call made it: nobody else may give it back
   */
  async reserve({ tenant, dataset, run, plan, attempt }: Wanted): Promise<'made' | 'stood'> {
    const id = parseName('dataset', dataset)[1]!;
    const hash = planHash(parsePlan(plan));
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const { state, version } = await this.#store.load(tenant, id);
      const held = reservationOf(state, run);
      if (held && held.planHash !== hash && held.settledSteps !== 0) {
        throw LEARNING.RUN_EXISTS('the run holds a reservation for another plan', { details: { run } });
      }
      if (held && held.attempt > attempt)
        throw LEARNING.RUN_CHANGED('the run was resumed by another process');
      const stands = held && held.attempt === attempt && held.settledSteps === undefined;
      if (stands && held.planHash === hash) return 'stood';
      await this.#requireRoom(tenant, dataset, state, run, plan);
      const reserved: events.PrivacyReserved = { dataset, run, plan, planHash: hash, attempt };
      try {
        await this.#store.propose(tenant, id, (_, now) => {
          if (now !== version) throw LEARNING.BUDGET_CONTENDED('another run was first');
          return [newEvent(EVENT.privacyReserved, reserved)];
        });
        return 'made';
      } catch (error) {
        if (!isError(error, LEARNING.BUDGET_CONTENDED)) throw error;
      }
    }
    throw LEARNING.BUDGET_CONTENDED(`others were first ${ROUNDS_MAX} times`, { details: { dataset } });
  }

  async #requireRoom(
    tenant: string,
    dataset: string,
    state: DatasetPrivacy,
    run: string,
    plan: Uint8Array,
  ): Promise<void> {
    const { limit } = state;
    if (!limit) return;
    const unit = limit.unit as PrivacyUnit;
    await accounting('fit', {
      budget: { epsilon: limit.epsilon, delta: limit.delta, unit, relation: RELATION },
      held: heldOf(state, unit, run).map(partOf),
      opaque: await this.#opaque(tenant, dataset, unit),
      wanted: { plan, steps: parsePlan(plan).steps },
    });
  }

  /** Runs of release 0.1 have no plan: what they charged is known as (epsilon, delta) per subject. */
  async #opaque(tenant: string, dataset: string, unit: PrivacyUnit): Promise<OpaqueGuarantee[]> {
    if (unit !== 'subject') return [];
    const runs = await this.#context.listRuns(tenant);
    return runs
      .filter(({ run }) => datasetOfRoot(run.spec.root) === dataset)
      .flatMap(({ run }) => {
        const last = run.charged.at(-1);
        return last && last.planHash === undefined ? [{ epsilon: last.epsilonUpper, delta: last.delta }] : [];
      });
  }

  /**
   * After a run has ended: only what it has charged counts. Idempotent; a run that has used its plan up, or trains again, stays as it is. Where less counts
   * than was charged, what was charged is written over it: charges are the truth, and no room is asked for.
   */
  async settle({ tenant, id, run }: LoadedRun): Promise<void> {
    if (run.plan === undefined || isRunning(run)) return;
    const dataset = datasetOfRoot(run.spec.root);
    const name = runName(tenant, id);
    const { plan } = run;
    const [planned, charged] = [parsePlan(plan), stepsCharged(run)];
    const hash = planHash(planned);
    const attempt = attemptOf(run);
    const ledgerHead = run.charged.at(-1)?.digest ?? '';
    await this.#store.propose(tenant, parseName('dataset', dataset)[1]!, (state) => {
      const held = reservationOf(state, name);
      const settled = (of: Pick<Reservation, 'planHash' | 'attempt'>, steps: number) =>
        newEvent(EVENT.privacySettled, {
          dataset,
          run: name,
          planHash: of.planHash,
          stepsCharged: steps,
          ledgerHead,
          attempt: of.attempt,
        });
      const isOwn = held?.planHash === hash;
      if (held && isOwn && held.settledSteps !== undefined) {
        return held.settledSteps < charged ? [settled(held, charged)] : [];
      }
      if (charged > 0 && !isOwn && (held?.settledSteps ?? 0) === 0) {
        const again: events.PrivacyReserved = { dataset, run: name, plan, planHash: hash, attempt };
        const reserved = newEvent(EVENT.privacyReserved, again);
        return charged < planned.steps ? [reserved, settled(again, charged)] : [reserved];
      }
      const due = held?.attempt === attempt && held.settledSteps === undefined && charged < planned.steps;
      return due ? [settled(held, isOwn ? charged : 0)] : [];
    });
  }

  /**
   * Gives back what crashes have left reserved: of runs that have ended, and of requests that never became a run; and counts again what was charged and is
   * not counted. Safe at any time, since a
   * run reserves again before it trains if its reservation is not there.
   */
  async sweep(): Promise<void> {
    const nowMs = this.#context.deps.clock.nowMs();
    for (const { tenant, id } of await this.#directory.all()) {
      const { state } = await this.#store.load(tenant, id);
      for (const { run, attempt, planHash: hash, reservedMs, settledSteps } of state.reservations) {
        const loaded = await this.#context.findRun(tenant, parseName('trainingRun', run)[1]!);
        const isOwn = loaded?.run.plan !== undefined && planHash(parsePlan(loaded.run.plan)) === hash;
        if (loaded && isOwn) await this.settle(loaded);
        else if (settledSteps === undefined && nowMs - reservedMs > ORPHAN_MS)
          await this.#release(tenant, id, run, attempt, hash);
      }
    }
  }

  /** Gives back a reservation of the caller's own making, unless the run that exists was accepted with this very plan: then it trains under it. */
  async release({ tenant, dataset, run, plan, attempt }: Wanted): Promise<void> {
    const loaded = await this.#context.findRun(tenant, parseName('trainingRun', run)[1]!);
    if (loaded?.run.plan && planHash(parsePlan(loaded.run.plan)) === planHash(parsePlan(plan))) return;
    await this.#release(tenant, parseName('dataset', dataset)[1]!, run, attempt, planHash(parsePlan(plan)));
  }

  async #release(tenant: string, id: string, run: string, attempt: number, hash: string): Promise<void> {
    await this.#store.propose(tenant, id, (state) => {
      const held = reservationOf(state, run);
      if (held?.attempt !== attempt || held.planHash !== hash || held.settledSteps !== undefined) return [];
      const dataset = resourceName('dataset', tenant, id);
      const settled = { dataset, run, planHash: hash, stepsCharged: 0, ledgerHead: '', attempt };
      return [newEvent(EVENT.privacySettled, settled)];
    });
  }

  /** @throws LETHE-3301 a limit of no meaning, LETHE-4310 runs of another unit hold privacy of the dataset */
  async setLimit(tenant: string, limit: events.PrivacyBudgetSet): Promise<void> {
    const unit = limit.unit as PrivacyUnit;
    checkedBudget({ epsilon: limit.epsilon, delta: limit.delta, unit, relation: RELATION });
    if (limit.delta < DELTA_MIN) {
      throw LEARNING.REQUEST_INVALID(`delta has to be at least ${DELTA_MIN}`, {
        details: { field: 'delta' },
      });
    }
    // What cannot be read under the limit is refused before it is written.
    await this.spent(tenant, [limit.dataset], unit, limit.delta);
    await this.#store.propose(tenant, parseName('dataset', limit.dataset)[1]!, (state) => {
      const other = unit === 'subject' ? 'record' : 'subject';
      if (heldOf(state, other).some(({ steps }) => steps > 0)) {
        throw LEARNING.REQUEST_INVALID(
          `unit has to be ${other}: runs of that unit hold privacy of the dataset`,
          { details: { field: 'unit' } },
        );
      }
      const { limit: before } = state;
      const same =
        before?.epsilon === limit.epsilon && before.delta === limit.delta && before.unit === limit.unit;
      return same ? [] : [newEvent(EVENT.privacyBudgetSet, limit)];
    });
  }

  async state(tenant: string, dataset: string): Promise<DatasetPrivacy> {
    return (await this.#store.load(tenant, parseName('dataset', dataset)[1]!)).state;
  }

  /** The odometer's reading for runs of one unit on all these datasets together; undefined where there are none. */
  async spent(
    tenant: string,
    datasets: readonly string[],
    unit: PrivacyUnit,
    delta: number,
  ): Promise<PlanCost | undefined> {
    const held: Part[] = [];
    const opaque: OpaqueGuarantee[] = [];
    for (const dataset of datasets) {
      held.push(...heldOf(await this.state(tenant, dataset), unit).map(partOf));
      opaque.push(...(await this.#opaque(tenant, dataset, unit)));
    }
    if (held.length + opaque.length === 0) return undefined;
    return await accounting('spent', { held, opaque, delta });
  }
}

const partOf = ({ plan, steps }: Held): Part => ({ plan: planBytes(plan), steps });
