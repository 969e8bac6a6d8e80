/**
 * Targeted adversarial queries: inputs that look like what they were and retrieve what the attacker wants.
 *
 * The setting is that of ProS-GAN (Wang et al., "Prototype-supervised adversarial network for targeted attack of deep hashing", CVPR 2021); in
 * place of its generator, projected gradients (Madry et al. 2018) on the function itself, which is the stronger attacker: it knows the
 * weights. On an analytic function they need no training, because the gradient is one product with W and one pass through the fixed features.
 *
 *     loss(x) = sum over bits k of max(0, 1 - b[k] u[k](x))       u = Wᵀ f(x), b = ±1 the target's code
 *     x      <- the bytes within epsilon of the original nearest to x - step * sign(d loss / d x)
 */
import { HASHING } from '../errors.ts';
import type { FeatureMap } from '../features.ts';
import { type HashFunction, scoresOf } from '../function.ts';

export interface TargetedAttack {
  /** Largest change of a byte, 0..255: 8 stands for the papers' 8/255. */
  readonly epsilon: number;
  /** Steps of the search. */
  readonly steps: number;
}

export interface AttackedInputs {
  /** [n, inputWidth], each byte within epsilon of the original. */
  readonly inputs: Uint8Array;
  /** Bits that agree with the target, of the original and of the attacked inputs, per input. */
  readonly agreedBefore: Uint16Array;
  readonly agreedAfter: Uint16Array;
}

/**
 * The best inputs that were met on the way, by bits that agree with the target: never worse than the originals.
 * @param inputs bytes [n, inputWidth]  @param targets one code of ±1 per input  @throws LETHE-3403 @throws LETHE-3410
 */
export function attackTargets(
  fn: HashFunction,
  map: FeatureMap,
  inputs: Uint8Array,
  targets: readonly Int8Array[],
  { epsilon, steps }: TargetedAttack,
): AttackedInputs {
  const { inputWidth } = map.spec;
  const { codeBits } = fn.codebook;
  if (
    !(Number.isInteger(epsilon) && epsilon >= 0 && epsilon <= 255 && Number.isInteger(steps) && steps >= 1)
  ) {
    throw HASHING.OPTION_INVALID('an attack needs an epsilon of 0..255 bytes and at least one step', {
      details: { epsilon, steps },
    });
  }
  if (inputs.length !== targets.length * inputWidth || targets.some((target) => target.length !== codeBits)) {
    throw HASHING.SHAPE_MISMATCH('an attack needs one target code per input', {
      details: { inputWidth, codeBits, targets: targets.length },
    });
  }
  const step = Math.max(1, Math.round((2.5 * epsilon) / steps));
  let current = inputs.slice();
  let found = lossAt(fn, map, current, targets);
  const best = { inputs: current.slice(), agreed: found.agreed.slice() };
  const agreedBefore = found.agreed;
  for (let s = 0; s < steps; s++) {
    const gradient = map.vjp(current, found.cotangent);
    current = Uint8Array.from(current, (byte, i) => {
      const moved = byte - step * Math.sign(gradient[i]!);
      return Math.min(255, inputs[i]! + epsilon, Math.max(0, inputs[i]! - epsilon, moved));
    });
    found = lossAt(fn, map, current, targets);
    for (let row = 0; row < targets.length; row++) {
      if (found.agreed[row]! <= best.agreed[row]!) continue;
      best.agreed[row] = found.agreed[row]!;
      best.inputs.set(current.subarray(row * inputWidth, (row + 1) * inputWidth), row * inputWidth);
    }
  }
  return { inputs: best.inputs, agreedBefore, agreedAfter: best.agreed };
}

/** Bits that agree, and the loss's derivative by the features. */
function lossAt(
  fn: HashFunction,
  map: FeatureMap,
  inputs: Uint8Array,
  targets: readonly Int8Array[],
): { agreed: Uint16Array; cotangent: Float64Array } {
  const { featureDim } = map.spec;
  const { codeBits } = fn.codebook;
  const features = map.apply(inputs);
  const scores = scoresOf(fn, features);
  const agreed = new Uint16Array(targets.length);
  const cotangent = new Float64Array(features.length);
  targets.forEach((target, row) => {
    const at = row * featureDim;
    const u = scores.subarray(row * codeBits, (row + 1) * codeBits);
    const slope = Float64Array.from(u, (value, k) => (target[k]! * value < 1 ? -target[k]! : 0));
    agreed[row] = u.reduce((count, value, k) => count + (value > 0 === target[k]! > 0 ? 1 : 0), 0);
    for (let i = 0; i < featureDim; i++) {
      let sum = 0;
      for (let k = 0; k < codeBits; k++) sum += fn.weights[i * codeBits + k]! * slope[k]!;
      cotangent[at + i] = sum;
    }
  });
  return { agreed, cotangent };
}
