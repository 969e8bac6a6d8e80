import type { Value } from '../builder.ts';
import { normalizer } from '../normalization.ts';
import { mul, reduceMean, sub } from '../ops.ts';
import type { Vjp } from './rule.ts';

/** With y the result and r = 1 / sqrt(...): dx = r (g - mean(g) - y mean(g y)); without centring mean(g) is missing. */
const rule =
  (centre: boolean): Vjp =>
  (y, g) => {
    const x = y.inputs[0] as Value;
    const { axes, epsilon } = y.attributes;
    const over = axes && 'ints' in axes ? axes.ints : [];
    const { inverse } = normalizer(x, over, epsilon && 'float' in epsilon ? epsilon.float : 0, centre);
    const along = mul(y, reduceMean(mul(g, y), over, true));
    const free = sub(g, along);
    return [mul(centre ? sub(free, reduceMean(g, over, true)) : free, inverse)];
  };

export const centred: Vjp = rule(true);
export const uncentred: Vjp = rule(false);
