/**
 * Pricing and calibration. The accountants take up to seconds of pure computing, so they run on a thread of their own: this module is also the
 * program of that thread. Plans cross it as their canonical bytes.
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import {
  calibratedPlan,
  composedCost,
  type DpPlanFields,
  type OpaqueGuarantee,
  type PlanCost,
  type PrivacyBudget,
  parsePlan,
  planBytes,
  requireWithinBudget,
  spentEpsilon,
} from '@lethe/privacy';
import { assert, LetheError } from '@lethe/std';

/** Steps of a plan in canonical JSON. */
export interface Part {
  readonly plan: Uint8Array;
  readonly steps: number;
}

type Uncalibrated = Omit<DpPlanFields, 'noise'> & {
  readonly noise: Omit<DpPlanFields['noise'], 'multiplier'>;
};

interface Tasks {
  /** A plan that meets a target, canonical JSON. */
  readonly calibrate: {
    readonly asks: { readonly fields: Uncalibrated; readonly epsilon: number };
    readonly gives: Uint8Array;
  };
  /** What a plan has cost after so many of its steps, for each of several numbers. */
  readonly costs: {
    readonly asks: { readonly plan: Uint8Array; readonly steps: readonly number[] };
    readonly gives: readonly PlanCost[];
  };
  /** The reading after a plan, or the refusal that it does not fit. */
  readonly fit: {
    readonly asks: {
      readonly budget: PrivacyBudget;
      readonly held: readonly Part[];
      readonly opaque: readonly OpaqueGuarantee[];
      readonly wanted: Part;
    };
    readonly gives: PlanCost;
  };
  /** The reading. */
  readonly spent: {
    readonly asks: {
      readonly held: readonly Part[];
      readonly opaque: readonly OpaqueGuarantee[];
      readonly delta: number;
    };
    readonly gives: PlanCost;
  };
}

type Task = keyof Tasks;

interface Refusal {
  readonly reason: string;
  readonly spec: Pick<LetheError, 'code' | 'status' | 'remedy'>;
  readonly message: string;
  readonly details: LetheError['details'];
}

type Answer = { readonly value: unknown } | { readonly refusal: Refusal };

/** @throws what the accountants refuse with: LETHE-33xx */
export async function accounting<T extends Task>(
  task: T,
  asks: Tasks[T]['asks'],
): Promise<Tasks[T]['gives']> {
  const answer = await new Promise<Answer>((done, fail) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: { lethe: 'accounting', task, asks } });
    worker.once('message', done);
    worker.once('error', fail);
  });
  if ('value' in answer) return answer.value as Tasks[T]['gives'];
  const { reason, spec, message, details } = answer.refusal;
  // The message carries its code already, which the constructor writes again.
  throw new LetheError(reason, spec, message.slice(`[${spec.code}] `.length), { details });
}

const partOf = ({ plan, steps }: Part) => ({ plan: parsePlan(plan), steps });

const WORK: { readonly [T in Task]: (asks: Tasks[T]['asks']) => Tasks[T]['gives'] } = {
  calibrate: ({ fields, epsilon }) => planBytes(calibratedPlan(fields, epsilon).plan),
  costs: ({ plan: bytes, steps }) => {
    const plan = parsePlan(bytes);
    return steps.map((count) => composedCost([{ plan, steps: count }], plan.delta, plan.relation));
  },
  fit: ({ budget, held, opaque, wanted }) =>
    requireWithinBudget(budget, { parts: held.map(partOf), opaque }, partOf(wanted)),
  spent: ({ held, opaque, delta }) =>
    spentEpsilon({ parts: held.map(partOf), opaque }, delta, 'add-or-remove-one'),
};

function answerTo(task: Task, asks: unknown): Answer {
  try {
    return { value: (WORK[task] as (asks: unknown) => unknown)(asks) };
  } catch (error) {
    if (!(error instanceof LetheError)) throw error;
    const { reason, code, status, remedy, message, details } = error;
    return { refusal: { reason, spec: { code, status, remedy }, message, details } };
  }
}

const given = workerData as { readonly lethe?: string; readonly task?: Task; readonly asks?: unknown } | null;
if (!isMainThread && given?.lethe === 'accounting') {
  assert(given.task, 'a thread of accounting has a task');
  parentPort?.postMessage(answerTo(given.task, given.asks));
}
