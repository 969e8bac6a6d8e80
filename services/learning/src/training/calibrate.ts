/**
 * The noise that meets a budget. The accountants take more than a second of pure computing, so they run on a thread of their own: this
 * module is also the program of that thread.
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import type { learning } from '@lethe/contracts';
import {
  calibrateNoiseMultiplier,
  dyadicProbability,
  type MechanismSpec,
  mechanismSpec,
} from '@lethe/privacy';

interface Plan {
  readonly lethe: 'calibrate';
  readonly samplingProbability: number;
  readonly steps: number;
  readonly delta: number;
  readonly epsilon: number;
}

/** Equal specifications give equal mechanisms. A budget that cannot be met has been refused before (`checkTrainingSpec`). */
export async function calibrated(spec: learning.DpSgdSpec): Promise<MechanismSpec> {
  const { steps, delta, l2ClipNorm, epsilon } = spec;
  const samplingProbability = dyadicProbability(spec.samplingProbability);
  const plan: Plan = { lethe: 'calibrate', samplingProbability, steps, delta, epsilon };
  const noiseMultiplier = await new Promise<number>((done, fail) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: plan });
    worker.once('message', done);
    worker.once('error', fail);
  });
  return mechanismSpec({ samplingProbability, steps, delta, l2ClipNorm, noiseMultiplier });
}

if (!isMainThread && (workerData as Partial<Plan> | null)?.lethe === 'calibrate') {
  const plan = workerData as Plan;
  parentPort?.postMessage(calibrateNoiseMultiplier(plan, plan.epsilon));
}
