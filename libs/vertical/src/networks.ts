/**
 * The graphs of HashVFL: a bottom network per feature holder, one top network at the label holder. Shapes: B rows in a batch, n features of a party,
 * d bits of a code, K parties, C classes.
 */
import {
  add,
  GraphBuilder,
  gradients,
  innerProduct,
  type MlpSpec,
  type Model,
  mlp,
  mul,
  softmaxCrossEntropy,
  sub,
} from '@lethe/graph';
import { adamW, type TrainStepGraph, trainStepGraph } from '@lethe/optim';
import { VERTICAL } from './errors.ts';
import type { GradientFormat } from './gradient-wire.ts';
import { hashLayer, hashLayerWith } from './hash-layer.ts';

/** `sign`: binary codes. `float`: the normalised values themselves, the comparison "without the hash layer"; never used by a service. */
export type Representation = 'sign' | 'float';

/** What parties and service agree on before a job; part of the job's record. */
export interface VerticalPlan {
  readonly codeBits: number;
  readonly classes: number;
  readonly parties: number;
  readonly bottomHidden: number;
  readonly topHidden: number;
  readonly batchRows: number;
  readonly epochs: number;
  readonly learningRate: number;
  /** Weight of the consistency loss (lambda). HashVFL has 1; at 3 codes tell less about features beyond the class, and digits lose no accuracy. */
  readonly consistencyWeight: number;
  readonly gradientFormat: GradientFormat;
  readonly representation: Representation;
}

/** Normalisation over fewer rows would reveal more of a row and is unstable. */
const BATCH_ROWS_MIN = 64;

/**
 * A plan for a data set: the constants that reached 0.95 on digits (`hashvfl-mnist.bench.ts`), with codes long enough for the classes and a batch that
 * the rows can fill. Every constant can be replaced.
 * @param rows number of aligned rows @throws LETHE-3501; LETHE-3506 fewer than 64 rows
 */
export function verticalPlan(
  data: Pick<VerticalPlan, 'classes' | 'parties'> & { readonly rows: number },
  change: Partial<VerticalPlan> = {},
): VerticalPlan {
  const { classes, parties, rows } = data;
  return checkPlan({
    classes,
    parties,
    codeBits: Math.max(16, 2 ** Math.ceil(Math.log2(classes + 1))),
    bottomHidden: 128,
    topHidden: 64,
    batchRows: Math.min(256, BATCH_ROWS_MIN * Math.floor(rows / BATCH_ROWS_MIN)),
    epochs: 12,
    learningRate: 4e-3,
    consistencyWeight: 3,
    gradientFormat: 'sign',
    representation: 'sign',
    ...change,
  });
}

/**
 * The plan of a federation's specification, for the service and for each party alike.
 * @param classes what a party is not told and its bottom network does not depend on: it says 1  @throws LETHE-3501; LETHE-3506
 */
export const planOf = (
  spec: Pick<VerticalPlan, 'codeBits' | 'epochs' | 'learningRate' | 'consistencyWeight'> & {
    readonly parties: readonly string[];
    readonly hiddenUnits: number;
    readonly topHiddenUnits: number;
    readonly batchSize: number;
  },
  classes: number,
): VerticalPlan =>
  checkPlan({
    codeBits: spec.codeBits,
    classes,
    parties: spec.parties.length,
    bottomHidden: spec.hiddenUnits,
    topHidden: spec.topHiddenUnits,
    batchRows: spec.batchSize,
    epochs: spec.epochs,
    learningRate: spec.learningRate,
    consistencyWeight: spec.consistencyWeight,
    gradientFormat: 'sign',
    representation: 'sign',
  });

/** Decoupled, as in AdamW; times the learning rate per step. */
const WEIGHT_DECAY = 0.01;

/** @throws LETHE-3501 names the field; LETHE-3506 */
export function checkPlan(plan: VerticalPlan): VerticalPlan {
  const whole = ['codeBits', 'classes', 'parties', 'bottomHidden', 'topHidden', 'epochs'] as const;
  for (const field of whole) {
    if (!(Number.isInteger(plan[field]) && plan[field] >= 1)) {
      throw VERTICAL.BAD_NETWORK(`${field} is ${plan[field]}; it has to be a positive integer`, {
        details: { field },
      });
    }
  }
  for (const field of ['learningRate', 'consistencyWeight'] as const) {
    if (!(Number.isFinite(plan[field]) && plan[field] >= 0)) {
      throw VERTICAL.BAD_NETWORK(`${field} is ${plan[field]}; it has to be finite and not negative`, {
        details: { field },
      });
    }
  }
  if (!(Number.isInteger(plan.batchRows) && plan.batchRows >= BATCH_ROWS_MIN)) {
    throw VERTICAL.BATCH_TOO_SMALL(`a batch of ${plan.batchRows} rows`, {
      details: { batchRows: plan.batchRows },
    });
  }
  return plan;
}

export const bottomSpec = (plan: VerticalPlan, features: number): MlpSpec => ({
  widths: [features, plan.bottomHidden, plan.codeBits],
  activation: 'relu',
});

export const topSpec = (plan: VerticalPlan): MlpSpec => ({
  widths: [plan.parties * plan.codeBits, plan.topHidden, plan.classes],
  activation: 'relu',
});

/** Codes of a batch with the batch's own statistics: `x` [B, n] and parameters in; `code` [B, d] out. */
export function bottomForwardGraph(plan: VerticalPlan, features: number): Model {
  const graph = new GraphBuilder();
  const { logits } = mlp(graph.examples('x', [plan.batchRows, features]), bottomSpec(plan, features));
  graph.output('code', hashLayer(logits, plan.representation).code);
  return graph.build();
}

/** Codes with the statistics of training: `x` [B, n], `mean` and `variance` [1, d] and parameters in; `code` [B, d] out. */
export function bottomEvalGraph(plan: VerticalPlan, features: number): Model {
  const graph = new GraphBuilder();
  const { logits } = mlp(graph.examples('x', [plan.batchRows, features]), bottomSpec(plan, features));
  const mean = graph.shared('mean', [1, plan.codeBits]);
  const variance = graph.shared('variance', [1, plan.codeBits]);
  graph.output('code', hashLayerWith(logits, mean, variance, plan.representation));
  return graph.build();
}

/**
 * One update of a bottom network. The forward pass is computed again inside, so the worker keeps no activations and a step replays from its inputs alone.
 * `x` [B, n], `codeGradient` [B, d] (per row, not divided by B), parameters and optimizer state in; the next ones, `mean` and `variance` [1, d] out.
 * The inner product of code and gradient is the linear function whose gradient at the parameters is the vector-Jacobian product that is wanted.
 */
export function bottomStepGraph(plan: VerticalPlan, features: number): TrainStepGraph {
  const graph = new GraphBuilder();
  const x = graph.examples('x', [plan.batchRows, features]);
  const codeGradient = graph.examples('codeGradient', [plan.batchRows, plan.codeBits]);
  const { logits, parameters } = mlp(x, bottomSpec(plan, features));
  const { code, mean, variance } = hashLayer(logits, plan.representation);
  graph.output('mean', mean);
  graph.output('variance', variance);
  return trainStepGraph(graph, {
    losses: innerProduct(code, codeGradient),
    parameters,
    optimizer: adamW({ weightDecay: WEIGHT_DECAY }),
    objective: { kind: 'mean', divisor: plan.batchRows },
  });
}

/**
 * One update of the top network. `codes` [B, K d] (a row's codes side by side, party 0 first), `labels` int64 [B], `targets` [B, K d] (the row's class target,
 * once for each party), parameters and state in; the next ones, `loss` [] and `codeGradient` [B, K d] out, the latter per row, not divided by B.
 * Loss of a row: cross-entropy + consistencyWeight x (1 - <codes, targets> / (K d)), the mean over the parties of HashVFL's 1 - cosine.
 */
export function topStepGraph(plan: VerticalPlan): TrainStepGraph {
  const graph = new GraphBuilder();
  const width = plan.parties * plan.codeBits;
  const codes = graph.examples('codes', [plan.batchRows, width]);
  const labels = graph.examples('labels', [plan.batchRows], 'int64');
  const targets = graph.examples('targets', [plan.batchRows, width]);
  const { logits, parameters } = mlp(codes, topSpec(plan));
  const disagreement = sub(1, mul(innerProduct(codes, targets), 1 / width));
  const losses = add(softmaxCrossEntropy(logits, labels), mul(disagreement, plan.consistencyWeight));
  graph.output('codeGradient', gradients(losses, [codes])[0]!);
  return trainStepGraph(graph, {
    losses,
    parameters,
    optimizer: adamW({ weightDecay: WEIGHT_DECAY }),
    objective: { kind: 'mean', divisor: plan.batchRows },
  });
}

/** `codes` [B, K d] and parameters in; `logits` [B, C] out. */
export function topForwardGraph(plan: VerticalPlan): Model {
  const graph = new GraphBuilder();
  graph.output(
    'logits',
    mlp(graph.examples('codes', [plan.batchRows, plan.parties * plan.codeBits]), topSpec(plan)).logits,
  );
  return graph.build();
}
