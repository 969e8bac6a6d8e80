import { float32 } from '@lethe/tensor';
import type { ModelParameters } from '../clipping/clipped-graph.ts';
import type { GradientUpdate } from './dp-sgd.ts';

/**
 * Polyak's heavy ball on privatised gradients: v <- momentum v + g; w <- w - learningRate v. Velocity in float64, kept by this object:
 * one per run. @param learningRate per step, for the mean clipped gradient
 */
export function heavyBall(learningRate: number, momentum: number): GradientUpdate<ModelParameters> {
  let velocity: readonly Float64Array[] | undefined;
  return {
    apply(parameters, gradient) {
      velocity ??= gradient.map((g) => new Float64Array(g.length));
      const moved = Object.entries(parameters).map(([name, { shape, data }], p) => {
        const v = velocity![p]!;
        const g = gradient[p]!;
        for (let i = 0; i < v.length; i++) v[i] = momentum * v[i]! + g[i]!;
        return [
          name,
          float32(
            shape,
            data.map((value, i) => value - learningRate * v[i]!),
          ),
        ] as const;
      });
      return Object.fromEntries(moved);
    },
  };
}
