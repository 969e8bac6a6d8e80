import { OPTIM } from './errors.ts';

/** A learning rate for every step, 0 being the first. Fixed before training, so that it tells nothing about the data. */
export type Schedule = (step: number) => number;

function checked(steps: number, rate: number): void {
  if (!(Number.isInteger(steps) && steps >= 1)) {
    throw OPTIM.BAD_HYPERPARAMETER(`a schedule of ${steps} steps`, {
      details: { name: 'steps', value: steps },
    });
  }
  if (!(rate > 0 && Number.isFinite(rate))) {
    throw OPTIM.BAD_HYPERPARAMETER(`a learning rate of ${rate}`, { details: { name: 'rate', value: rate } });
  }
}

/** The same rate throughout. @throws LETHE-3080 */
export function constantRate(rate: number): Schedule {
  checked(1, rate);
  return () => rate;
}

/** From `rate` in a straight line to 0 behind the last of `steps`, after `warmup` steps in which it rises. @throws LETHE-3080 */
export function linearDecay(rate: number, steps: number, warmup = 0): Schedule {
  checked(steps, rate);
  return warmedUp(rate, warmup, (step) => Math.max(0, (steps - step) / Math.max(1, steps - warmup)));
}

/**
 * Half a cosine from `rate` to `floor`, after `warmup` steps in which it rises: Loshchilov and Hutter, "SGDR" (2017), equation 5, without restarts.
 * @throws LETHE-3080
 */
export function cosineDecay(rate: number, steps: number, { warmup = 0, floor = 0 } = {}): Schedule {
  checked(steps, rate);
  return warmedUp(rate, warmup, (step) => {
    const done = Math.min(1, (step - warmup) / Math.max(1, steps - warmup));
    return floor / rate + (1 - floor / rate) * 0.5 * (1 + Math.cos(Math.PI * done));
  });
}

const warmedUp =
  (rate: number, warmup: number, decay: Schedule): Schedule =>
  (step) =>
    rate * (step < warmup ? (step + 1) / warmup : decay(step));
