import type { Shape } from '@lethe/tensor';

/**
 * Operators that are run as they stand, without a gradient: what an imported encoder may use before the part that is trained. Listed
 * are those whose meaning has not changed between `since` and the operator set that we write, and how their shape follows.
 */
export interface OpaqueOperator {
  /** First operator set version with the meaning of the one that we write. */
  readonly since: number;
  /** Shape of the first output; undefined where the file has to say it. */
  readonly shape?: (inputs: readonly Shape[], attributes: ShapeAttributes) => Shape | undefined;
}

export interface ShapeAttributes {
  int(name: string, otherwise: number): number;
  ints(name: string): readonly number[] | undefined;
  string(name: string, otherwise: string): string;
}

const like: NonNullable<OpaqueOperator['shape']> = ([x]) => x;

/** Sizes after a window moved over the axes behind [n, channels]. */
function windowed(x: Shape, kernel: readonly number[], attributes: ShapeAttributes): number[] {
  const sizes = x.slice(2);
  const strides = attributes.ints('strides') ?? sizes.map(() => 1);
  const dilations = attributes.ints('dilations') ?? sizes.map(() => 1);
  const pads = attributes.ints('pads') ?? [...sizes, ...sizes].map(() => 0);
  const auto = attributes.string('auto_pad', 'NOTSET');
  const round = attributes.int('ceil_mode', 0) === 1 ? Math.ceil : Math.floor;
  return sizes.map((size, i) => {
    const reach = dilations[i]! * (kernel[i]! - 1) + 1;
    if (auto.startsWith('SAME')) return Math.ceil(size / strides[i]!);
    const padded = auto === 'VALID' ? size : size + pads[i]! + pads[i + sizes.length]!;
    return round((padded - reach) / strides[i]!) + 1;
  });
}

const pool: NonNullable<OpaqueOperator['shape']> = ([x], attributes) => {
  const kernel = attributes.ints('kernel_shape');
  return x && kernel ? [x[0]!, x[1]!, ...windowed(x, kernel, attributes)] : undefined;
};
const global: NonNullable<OpaqueOperator['shape']> = ([x]) => x?.map((size, axis) => (axis < 2 ? size : 1));

export const OPAQUE: Readonly<Record<string, OpaqueOperator>> = {
  Conv: {
    since: 1,
    shape: ([x, w], attributes) => x && w && [x[0]!, w[0]!, ...windowed(x, w.slice(2), attributes)],
  },
  ConvTranspose: { since: 11 },
  MaxPool: { since: 8, shape: pool },
  AveragePool: { since: 7, shape: pool },
  LpPool: { since: 11, shape: pool },
  GlobalAveragePool: { since: 1, shape: global },
  GlobalMaxPool: { since: 1, shape: global },
  InstanceNormalization: { since: 6, shape: like },
  LRN: { since: 1, shape: like },
  DepthToSpace: { since: 11 },
  SpaceToDepth: { since: 1 },
  ...Object.fromEntries(
    [
      ...['Abs', 'Ceil', 'Elu', 'Floor', 'HardSigmoid', 'LeakyRelu', 'Selu'].map(
        (type) => [type, 6] as const,
      ),
      ...['Acos', 'Asin', 'Atan', 'Cos', 'PRelu', 'Sin', 'Tan'].map((type) => [type, 7] as const),
      ...['Cosh', 'Erf', 'Sign', 'Sinh'].map((type) => [type, 9] as const),
      ...([
        ['Not', 1],
        ['Softplus', 1],
        ['Softsign', 1],
        ['ThresholdedRelu', 10],
        ['Round', 11],
        ['Clip', 11],
        ['Celu', 12],
        ['HardSwish', 14],
        ['Mish', 18],
      ] as const),
    ].map(([type, since]): [string, OpaqueOperator] => [type, { since, shape: like }]),
  ),
};
