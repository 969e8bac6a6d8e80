import { shapeText } from '@lethe/tensor';
import type { Value } from '../builder.ts';
import { conv2d, maxPool2d, type Window } from '../convolution.ts';
import { dense } from '../layers.ts';
import { shapeError } from '../operator.ts';
import { relu, reshape } from '../ops.ts';
import type { ParameterSpec } from './parameters.ts';

/** A convolutional network: convolutions with ReLU and maximum pooling, then fully connected layers. */
export interface CnnSpec {
  /** Height, width, channels. */
  readonly picture: readonly [number, number, number];
  readonly convolutions: readonly (Window & { readonly filters: number; readonly pool?: Window })[];
  /** Hidden fully connected layers, then the outputs. */
  readonly widths: readonly number[];
}

/** The MNIST network of Opacus' examples (and of Papernot et al. 2021): 26,010 parameters. */
export const cnnSpec: CnnSpec = {
  picture: [28, 28, 1],
  convolutions: [
    { filters: 16, kernel: 8, stride: 2, padding: 3, pool: { kernel: 2, stride: 1 } },
    { filters: 32, kernel: 4, stride: 2, pool: { kernel: 2, stride: 1 } },
  ],
  widths: [32, 10],
};

const side = (size: number, window: Window, axis: 0 | 1): number => {
  const of = (value: Window['stride'], fallback: number): number =>
    typeof value === 'object' ? value[axis] : (value ?? fallback);
  const covered = of(window.dilation, 1) * (of(window.kernel, 1) - 1) + 1;
  return Math.floor((size + 2 * of(window.padding, 0) - covered) / of(window.stride, 1)) + 1;
};

const taps = ({ kernel }: Window): number =>
  typeof kernel === 'number' ? kernel ** 2 : kernel[0] * kernel[1];

/** In layer order: `conv0.w` [kh * kw * c, o], `conv0.b` [o], …, `dense0.w` [p, d], `dense0.b` [d], … */
export function cnnParameters({ picture, convolutions, widths }: CnnSpec): ParameterSpec[] {
  let [h, w, c] = picture;
  const parameters: ParameterSpec[] = [];
  const layer = (name: string, p: number, d: number, start: ParameterSpec['start']): void => {
    parameters.push(
      { name: `${name}.w`, shape: [p, d], start },
      { name: `${name}.b`, shape: [d], start: 'zeros' },
    );
  };
  for (const [i, convolution] of convolutions.entries()) {
    layer(`conv${i}`, taps(convolution) * c, convolution.filters, 'beforeRelu');
    for (const window of [convolution, convolution.pool ?? { kernel: 1 }]) {
      [h, w] = [side(h, window, 0), side(w, window, 1)];
    }
    c = convolution.filters;
  }
  let p = h * w * c;
  for (const [i, d] of widths.entries()) {
    layer(`dense${i}`, p, d, i < widths.length - 1 ? 'beforeRelu' : 'balanced');
    p = d;
  }
  return parameters;
}

/** @param x [n, h, w, c], or [n, h * w * c] in that order @returns logits [n, widths.at(-1)] and the parameters in layer order */
export function cnn(
  x: Value,
  spec: CnnSpec,
): { readonly logits: Value; readonly parameters: readonly Value[] } {
  const { graph: g } = x;
  const n = x.shape[0]!;
  const parameters: Value[] = [];
  const declared = cnnParameters(spec);
  const next = (): Value => {
    const { name, shape } = declared[parameters.length]!;
    // Within its scope a parameter has the last part of its name.
    const value = g.parameter(name.slice(name.indexOf('.') + 1), shape, x.dtype);
    parameters.push(value);
    return value;
  };
  const [h, w, c] = spec.picture;
  if (x.shape.slice(1).reduce((product, size) => product * size, 1) !== h * w * c) {
    throw shapeError(
      'cnn',
      x,
      `the network takes pictures ${shapeText(spec.picture)}, not ${shapeText(x.shape)}`,
    );
  }
  let value = reshape(x, [n, h, w, c]);
  for (const [i, { pool, ...convolution }] of spec.convolutions.entries()) {
    value = g.scope(`conv${i}`, () => {
      const active = relu(conv2d(value, next(), next(), convolution));
      return pool ? maxPool2d(active, pool) : active;
    });
  }
  let rows = reshape(value, [n, value.shape.slice(1).reduce((product, size) => product * size, 1)]);
  for (const i of spec.widths.keys()) {
    const logits = g.scope(`dense${i}`, () => dense(rows, next(), next()));
    rows = i < spec.widths.length - 1 ? relu(logits) : logits;
  }
  return { logits: rows, parameters };
}
