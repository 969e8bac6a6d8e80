import { add, div, exp, mul, sqrt, sub, subtractScaled, type Value } from '@lethe/graph';
import { OPTIM } from './errors.ts';

/**
 * Optimizers as pure transforms (the shape of optax's GradientTransformation): what is kept for a parameter, and how gradient,
 * kept tensors and parameter become the next ones. `update` emits graph nodes, so the update is part of the step's graph.
 */
export interface Optimizer {
  readonly name: string;
  /** Names of the tensors kept for each parameter, of the parameter's shape, zero before the first step. */
  readonly slots: readonly string[];
  /** Whether `update` needs the number of the step. */
  readonly countsSteps: boolean;
  update(context: UpdateContext): Updated;
}

export interface UpdateContext {
  readonly parameter: Value;
  readonly gradient: Value;
  /** In the order of `slots`. */
  readonly slots: readonly Value[];
  /** Scalar. */
  readonly learningRate: Value;
  /** Scalar, 1 in the first step; present when `countsSteps`. */
  readonly step?: Value;
}

export interface Updated {
  readonly parameter: Value;
  readonly slots: readonly Value[];
}

const within = (name: string, value: number, low: number, high: number): void => {
  if (!(value >= low && value < high)) {
    throw OPTIM.BAD_HYPERPARAMETER(`${name} is ${value}, not in [${low}, ${high})`, {
      details: { name, value },
    });
  }
};

/** base^exponent for a constant base in (0, 1); 0 for base 0. */
const power = (base: number, exponent: Value): Value => exp(mul(exponent, Math.log(Math.max(base, 1e-30))));

const descend = ({ parameter, learningRate }: UpdateContext, direction: Value): Value =>
  subtractScaled(parameter, direction, learningRate);

/** p - learningRate g. */
export function sgd(): Optimizer {
  return {
    name: 'sgd',
    slots: [],
    countsSteps: false,
    update: (context) => ({ parameter: descend(context, context.gradient), slots: [] }),
  };
}

/** Heavy ball: v = decay v + g; p - learningRate v (PyTorch's form, without dampening). */
export function momentum({ decay = 0.9 }: { readonly decay?: number } = {}): Optimizer {
  within('decay', decay, 0, 1);
  return {
    name: 'momentum',
    slots: ['velocity'],
    countsSteps: false,
    update: (context) => {
      const velocity = add(mul(context.slots[0]!, decay), context.gradient);
      return { parameter: descend(context, velocity), slots: [velocity] };
    },
  };
}

export interface AdamOptions {
  readonly beta1?: number;
  readonly beta2?: number;
  /** Added to the root, outside of it (Kingma and Ba's form, as in PyTorch). */
  readonly epsilon?: number;
}

/** Kingma and Ba, "Adam" (2015), algorithm 1, with the bias correction. */
export function adam(options: AdamOptions = {}): Optimizer {
  return { ...adamW({ ...options, weightDecay: 0 }), name: 'adam' };
}

/** Loshchilov and Hutter, "Decoupled weight decay regularization" (2019), algorithm 2: the decay is learningRate weightDecay p. */
export function adamW(options: AdamOptions & { readonly weightDecay?: number } = {}): Optimizer {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0.01 } = options;
  within('beta1', beta1, 0, 1);
  within('beta2', beta2, 0, 1);
  within('epsilon', epsilon, 0, 1);
  within('weightDecay', weightDecay, 0, Number.POSITIVE_INFINITY);
  return {
    name: 'adamW',
    slots: ['mean', 'square'],
    countsSteps: true,
    update: (context) => {
      const { gradient, parameter } = context;
      const mean = add(mul(context.slots[0]!, beta1), mul(gradient, 1 - beta1));
      const second = add(mul(context.slots[1]!, beta2), mul(mul(gradient, gradient), 1 - beta2));
      // Algorithm 2 divides both moments by their corrections; with the corrections moved into the scalars
      // (Kingma and Ba, end of section 2) two passes over the parameter fewer remain.
      const correction = (beta: number): Value => sub(1, power(beta, context.step!));
      const root = sqrt(correction(beta2));
      const direction = div(mean, add(sqrt(second), mul(root, epsilon)));
      const rate = mul(context.learningRate, div(root, correction(beta1)));
      const decay = sub(1, mul(context.learningRate, weightDecay));
      const kept = weightDecay === 0 ? parameter : mul(parameter, decay);
      return { parameter: subtractScaled(kept, direction, rate), slots: [mean, second] };
    },
  };
}
