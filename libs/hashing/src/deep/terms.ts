/**
 * The terms of the deep loss, one row of `LOSS_TERMS` each; the trainer adds `weight * term` of those that are asked for. Every term is built of
 * operations of @lethe/graph and differentiated there. A row that lacks a modality has mask 0 and weighs nothing.
 */
import {
  abs,
  add,
  cosineLogits,
  div,
  klDivergence,
  matmul,
  mul,
  reduceMean,
  reduceSum,
  reduceSumSquare,
  relu,
  reshape,
  sub,
  type Value,
} from '@lethe/graph';

/** What a term may read: a batch of new items and sums. No stored item is among it. */
export interface LossContext {
  /** b, K. */
  readonly rows: number;
  readonly codeBits: number;
  /** tanh of the outputs of each modality's network, [b, K]; 0 where masked. */
  readonly outputs: readonly Value[];
  /** 1 or 0 for each modality and row, [b, 1]. */
  readonly masks: readonly Value[];
  /** Ŷ [b, C], rows of length 1. */
  readonly labels: Value;
  /** B_idx [b, K], the discrete codes of these rows. */
  readonly codes: Value;
  /** (G_o + rho G_n) / n, (P_o + rho P_n) / n and (Q_o + rho Q_n) / n with n = n_o + n_n. */
  readonly g: Value;
  readonly p: Value;
  readonly q: Value;
  /** For `distillation`. */
  readonly teacher?: {
    /** What the net before this session said of the relation of each row to each prototype, [b, M], rows of sum 1, for each modality. */
    readonly relations: readonly Value[];
    /** Codes of the M old classes, [M, K]. */
    readonly prototypes: Value;
    readonly temperature: number;
  };
}

export interface LossTerm {
  readonly source: string;
  /** What the source says that this term does. */
  readonly says: string;
  /** What is different here, and why. */
  readonly differs: string;
  /** @returns a scalar */
  readonly build: (context: LossContext) => Value;
}

const total = (parts: readonly Value[]): Value => parts.reduce((sum, part) => add(sum, part));

/**
 * `(1 / (b n)) [ ‖K S_o - U B_oᵀ‖² + rho ‖K S_n - U B_nᵀ‖² ]` without a stored item: with S = Ŷ_b Ŷᵀ the squares open into
 * `K² <Ŷ_b Q, Ŷ_b> - 2 K <U, Ŷ_b P> + <U G, U>`, whose cost is b K² + b C K whatever n is.
 */
function similarity({ rows, codeBits, outputs, masks, labels, g, p, q }: LossContext): Value {
  const terms = outputs.map((u, m) => {
    const y = mul(labels, masks[m]!);
    const constant = mul(reduceSum(mul(matmul(y, q), y)), codeBits ** 2);
    const crossed = mul(reduceSum(mul(matmul(y, p), u)), 2 * codeBits);
    return add(sub(constant, crossed), reduceSum(mul(matmul(u, g), u)));
  });
  return mul(total(terms), 1 / rows);
}

/** `(1 / (b K)) ‖U - B_idx‖²`. */
const quantisation = ({ rows, codeBits, outputs, masks, codes }: LossContext): Value =>
  mul(total(outputs.map((u, m) => reduceSumSquare(sub(u, mul(codes, masks[m]!))))), 1 / (rows * codeBits));

/** `‖1ᵀ U / b‖²`, bit by bit. */
const balance = ({ rows, outputs }: LossContext): Value =>
  total(outputs.map((u) => reduceSumSquare(mul(reduceSum(u, [0]), 1 / rows))));

/** Mean over the rows of `KL(teacher's relations || softmax of cos(u, prototype) / temperature)`. */
function distillation({ rows, outputs, masks, teacher }: LossContext): Value {
  if (!teacher) return outputs[0]!.graph.number(0, outputs[0]!.dtype);
  const { relations, prototypes, temperature } = teacher;
  const terms = outputs.map((u, m) => {
    const rowwise = klDivergence(relations[m]!, cosineLogits(u, prototypes, temperature));
    return reduceSum(mul(rowwise, reshape(masks[m]!, [rows])));
  });
  return mul(total(terms), 1 / rows);
}

const centred = (x: Value): Value => sub(x, reduceMean(x, [1], true));

/**
 * `var(x_j - a_i) / var(a_i)` over the K dimensions, for all pairs.
 * @param anchors [a, K] @param compared [b, K] @returns [a, b]; 0 for equal rows, the same for (s a, s x) as for (a, x), not symmetric
 */
export function snrDistances(anchors: Value, compared: Value): Value {
  const a = centred(anchors);
  const x = centred(compared);
  const signal = reduceSumSquare(a, [1], true);
  const other = reshape(reduceSumSquare(x, [1], true), [1, x.shape[0]!]);
  const noise = add(sub(other, mul(matmul(a, x, { transB: true }), 2)), signal);
  // A row that is constant has no signal; the summand keeps a masked row (all zeros) finite.
  return div(noise, add(signal, 1e-6));
}

const SNR_MARGIN = 1;
const SNR_MEAN_WEIGHT = 0.005;

/** Contrastive over the pairs of two modalities in the batch: `S d + (1 - S) max(0, margin - d)`, and the size of each row's mean. */
function snr({ rows, outputs, masks, labels }: LossContext): Value {
  const likeness = matmul(labels, labels, { transB: true });
  const terms: Value[] = [];
  for (const [m, anchors] of outputs.entries()) {
    for (const [o, compared] of outputs.entries()) {
      if (m === o && outputs.length > 1) continue;
      const both = matmul(masks[m]!, masks[o]!, { transB: true });
      const d = snrDistances(anchors, compared);
      const apart = mul(sub(1, likeness), relu(sub(SNR_MARGIN, d)));
      terms.push(mul(reduceSum(mul(add(mul(likeness, d), apart), both)), 1 / rows ** 2));
    }
    terms.push(mul(reduceSum(abs(reduceMean(anchors, [1]))), SNR_MEAN_WEIGHT / rows));
  }
  return total(terms);
}

export const LOSS_TERMS = {
  similarity: {
    source:
      'Xu, Li, Zheng, Li, Lv, "Deep Lifelong Cross-modal Hashing", arXiv 2304.13357 (2023), and its public code',
    says: 'old codes take part in training and stay invariant; likeness of multi-label items is the cosine of their label vectors',
    differs:
      'old codes enter as sums, so a step does not depend on their number; the term of the new codes counts (the public code drops it)',
    build: similarity,
  },
  quantisation: {
    source: 'arXiv 2304.13357, its public code',
    says: 'outputs are drawn to the discrete code of their own item',
    differs:
      'the code is that of the same item (the public code pairs positions of two differently ordered lists)',
    build: quantisation,
  },
  balance: {
    source: 'arXiv 2304.13357, its public code',
    says: 'bits are balanced',
    differs:
      'squared and bit by bit; the published sum over all outputs is linear, hence without a lower bound',
    build: balance,
  },
  distillation: {
    source:
      'Asadi, Davari, Mudur, Aljundi, Belilovsky, "Prototype-Sample Relation Distillation: Towards Replay-Free Continual Learning", ICML 2023',
    says: 'without keeping any prior task data, a distillation loss constrains class prototypes to maintain relative similarities as compared to new task data',
    differs:
      'prototypes are the fixed codes of the old classes, so the net is held in place of the prototypes; no supervised contrastive term',
    build: distillation,
  },
  snr: {
    source:
      'Yuan, Deng, Tang, Tang, Chen, "Signal-to-Noise Ratio: A Robust Distance Metric for Deep Metric Learning", CVPR 2019',
    says: 'the distance of a compared feature from an anchor is the variance of their difference over the variance of the anchor',
    differs:
      'pairs are weighted by the likeness of their labels instead of same or other class; anchors are one modality, compared the other',
    build: snr,
  },
} as const satisfies Readonly<Record<string, LossTerm>>;

export type LossTermName = keyof typeof LOSS_TERMS;

/** Weights of the terms; what is absent or 0 is not built. */
export type LossWeights = Readonly<Partial<Record<LossTermName, number>>>;

/** The weighted sum, a scalar. At least one weight is positive. */
export function weightedLoss(context: LossContext, weights: LossWeights): Value {
  const names = Object.keys(LOSS_TERMS) as LossTermName[];
  return total(
    names
      .filter((name) => (weights[name] ?? 0) > 0)
      .map((name) => mul(LOSS_TERMS[name].build(context), weights[name]!)),
  );
}
