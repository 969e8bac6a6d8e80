import { shapeText } from '@lethe/tensor';
import { dropout, gelu, quickGelu, silu } from '../activations.ts';
import { multiHeadAttention } from '../attention.ts';
import type { Value } from '../builder.ts';
import { dense, embedding, scale, shift } from '../layers.ts';
import { layerNormalize } from '../normalization.ts';
import { shapeError } from '../operator.ts';
import { add, mul, relu, reshape } from '../ops.ts';
import type { ParameterSpec } from './parameters.ts';

const ACTIVATIONS = { gelu, quickGelu, silu, relu } as const;
const LINEARS = ['q', 'k', 'v', 'o', 'up', 'down'] as const;

/** A decoder with normalisation before each part and learned positions (Radford et al. 2019). */
export interface TransformerSpec {
  readonly vocabulary: number;
  /** Tokens of a sequence. */
  readonly sequence: number;
  readonly width: number;
  readonly heads: number;
  readonly blocks: number;
  readonly activation: keyof typeof ACTIVATIONS;
  /** Whether the head is the transposed token table. */
  readonly tied: boolean;
  /** Trains `w + a b / rank * alpha` on the chosen linear layers with a, b of that rank and freezes all else (Hu et al. 2022). */
  readonly lora?: {
    readonly rank: number;
    readonly alpha: number;
    readonly on: readonly (typeof LINEARS)[number][];
  };
  /** Probability of keeping an element after attention and after the second linear layer; masks are inputs `block0.attentionMask`, … */
  readonly keep?: number;
}

/** Two blocks of width 128 on bytes: the model of the benchmark. */
export const transformerSpec: TransformerSpec = {
  vocabulary: 256,
  sequence: 64,
  width: 128,
  heads: 4,
  blocks: 2,
  activation: 'gelu',
  tied: false,
};

/** In layer order; with `lora` those that are trained are the `*.a` and `*.b` of `*.lora`. */
export function transformerParameters(
  spec: TransformerSpec,
): (ParameterSpec & { readonly frozen: boolean })[] {
  const { vocabulary, sequence, width, blocks, tied, lora } = spec;
  const norm = (name: string): ParameterSpec[] => [
    { name: `${name}.gamma`, shape: [width], start: 'ones' },
    { name: `${name}.beta`, shape: [width], start: 'zeros' },
  ];
  const linear = (block: string, name: (typeof LINEARS)[number]): ParameterSpec[] => {
    const p = name === 'down' ? 4 * width : width;
    const d = name === 'up' ? 4 * width : width;
    const layer: ParameterSpec[] = [
      { name: `${block}.${name}.w`, shape: [p, d], start: name === 'up' ? 'beforeRelu' : 'balanced' },
      { name: `${block}.${name}.b`, shape: [d], start: 'zeros' },
    ];
    if (!lora?.on.includes(name)) return layer;
    return [
      ...layer,
      { name: `${block}.${name}.lora.a`, shape: [p, lora.rank], start: 'balanced' },
      { name: `${block}.${name}.lora.b`, shape: [lora.rank, d], start: 'zeros' },
    ];
  };
  const all: ParameterSpec[] = [
    { name: 'tokens.table', shape: [vocabulary, width], start: 'embedding' },
    { name: 'positions.beta', shape: [sequence, width], start: 'embedding' },
    ...Array.from({ length: blocks }, (_, i) => `block${i}`).flatMap((block) => [
      ...norm(`${block}.norm1`),
      ...(['q', 'k', 'v', 'o'] as const).flatMap((name) => linear(block, name)),
      ...norm(`${block}.norm2`),
      ...(['up', 'down'] as const).flatMap((name) => linear(block, name)),
    ]),
    ...norm('norm'),
    ...(tied ? [] : [{ name: 'head.w', shape: [width, vocabulary], start: 'balanced' } as const]),
  ];
  return all.map((parameter) => ({
    ...parameter,
    frozen: lora !== undefined && !parameter.name.includes('.lora.'),
  }));
}

export interface Transformer {
  /** [n * t, vocabulary], row by row of the sequences: token i's are about token i + 1. */
  readonly logits: Value;
  /** Trained, in the order of `transformerParameters`. */
  readonly parameters: readonly Value[];
  readonly frozen: readonly Value[];
}

/** @param ids int64 [n * t], the sequences one after the other */
export function transformer(ids: Value, spec: TransformerSpec): Transformer {
  const { graph: g } = ids;
  const { sequence, width, heads, lora, keep } = spec;
  const rows = ids.shape[0]!;
  if (ids.shape.length !== 1 || rows % sequence !== 0) {
    throw shapeError(
      'transformer',
      ids,
      `ids ${shapeText(ids.shape)} are not sequences of ${sequence} tokens`,
    );
  }
  const declared = transformerParameters(spec);
  const all = declared.map(({ name, shape }) => g.parameter(name, shape));
  const values = new Map(all.map((value) => [value.name, value]));
  const at = (name: string): Value => values.get(g.scoped(name))!;
  const norm = (x: Value): Value => shift(scale(layerNormalize(x), at('gamma')), at('beta'));
  const linear = (name: (typeof LINEARS)[number], x: Value): Value =>
    g.scope(name, () => {
      const y = dense(x, at('w'), at('b'));
      if (!lora?.on.includes(name)) return y;
      const low = dense(dense(x, at('lora.a')), at('lora.b'));
      return add(y, mul(low, lora.alpha / lora.rank));
    });
  const dropped = (name: string, x: Value): Value =>
    keep === undefined ? x : dropout(x, g.examples(g.scoped(name), x.shape), keep);

  const tokens = embedding(at('tokens.table'), ids);
  const placed = shift(reshape(tokens, [rows / sequence, sequence, width]), at('positions.beta'));
  let x = reshape(placed, [rows, width]);
  for (let i = 0; i < spec.blocks; i++) {
    g.scope(`block${i}`, () => {
      const before = g.scope('norm1', () => norm(x));
      const [q, k, v] = (['q', 'k', 'v'] as const).map((name) => linear(name, before)) as [
        Value,
        Value,
        Value,
      ];
      const attended = multiHeadAttention(q, k, v, { heads, sequence, causal: true });
      x = add(x, dropped('attentionMask', linear('o', attended)));
      const hidden = ACTIVATIONS[spec.activation](
        linear(
          'up',
          g.scope('norm2', () => norm(x)),
        ),
      );
      x = add(x, dropped('mlpMask', linear('down', hidden)));
    });
  }
  const last = g.scope('norm', () => norm(x));
  const logits = spec.tied
    ? dense(last, at('tokens.table'), undefined, { transposed: true })
    : g.scope('head', () => dense(last, at('w')));
  const of = (frozen: boolean): Value[] => all.filter((_, i) => declared[i]!.frozen === frozen);
  return { logits, parameters: of(false), frozen: of(true) };
}
