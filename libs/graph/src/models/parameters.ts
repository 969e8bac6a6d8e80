import type { Shape } from '@lethe/tensor';

/** A parameter of a model before it has a value. */
export interface ParameterSpec {
  readonly name: string;
  readonly shape: Shape;
  /**
   * How it starts: weights [p, d] `beforeRelu` uniform in ±sqrt(6 / p) (He et al. 2015), `balanced` in ±sqrt(6 / (p + d)) (Glorot and
   * Bengio 2010); `embedding` uniform with standard deviation 0.02 (Radford et al. 2019 take a normal one); `zeros`; `ones`.
   */
  readonly start: 'beforeRelu' | 'balanced' | 'embedding' | 'zeros' | 'ones';
}
