/**
 * Hyper-parameters that the literature advises for DP-SGD, as a function of public numbers only. They are where to start, not a search: values that are
 * searched for on the private records themselves cost privacy that no accountant here charges.
 */
import { dyadicProbability } from './mechanism.ts';

export interface DpSgdDefaults {
  readonly epsilon: number;
  readonly delta: number;
  readonly samplingProbability: number;
  readonly steps: number;
  readonly l2ClipNorm: number;
  readonly learningRate: number;
  readonly momentum: number;
  readonly rowsPerSubjectMax: number;
}

const BATCH = 1_024;
const PROBABILITY_MIN = 1 / 16;
const PROBABILITY_MAX = 1 / 4;
const STEP_LENGTH = 2;

/**
 * @param records public number of records under the root, at least 1
 * @param l2ClipNorm the bound that is used, if it is not the default: the learning rate goes with it
 */
export function dpSgdDefaults(records: number, l2ClipNorm = 0.5): DpSgdDefaults {
  return {
    epsilon: 3,
    delta: Math.min(1e-2, Math.max(records, 2) ** -1.1),
    samplingProbability: dyadicProbability(
      Math.min(PROBABILITY_MAX, Math.max(PROBABILITY_MIN, BATCH / Math.max(records, 1))),
    ),
    steps: 120,
    l2ClipNorm,
    learningRate: STEP_LENGTH / l2ClipNorm,
    momentum: 0.9,
    rowsPerSubjectMax: 16,
  };
}

/** Why each default is what it is: one sentence for a person who asks. */
export const DP_SGD_ADVICE: Readonly<Record<keyof DpSgdDefaults, string>> = {
  epsilon:
    'below 1 is a strong guarantee, up to 10 is common practice for published models (Ponomareva et al., arXiv 2303.00654, section 5)',
  delta:
    'n^-1.1 with n records: below 1/n, because publishing one random record whole would have delta = 1/n',
  samplingProbability:
    'large batches pay at a fixed epsilon (De et al., arXiv 2204.13650): 1024 expected records, at least 1/16 and at most 1/4 of all',
  steps:
    'enough for a linear model on fixed features; more steps ask for more noise in each, so raise the batch first',
  l2ClipNorm:
    'small bounds (0.1 to 1) work: the noise shrinks with the bound, and the learning rate makes up for the shorter gradient',
  learningRate: '2 / l2ClipNorm: a step moves by their product, so tune the two as one number',
  momentum: '0.9 averages the noise of about ten steps and is free, as everything after the noise; 0 is none',
  rowsPerSubjectMax:
    'set it to the most rows that a subject can have (known without a look at the records): a subject with more is refused, and per subject the divisor is the expected records over it, so that 16 where nobody has more than 4 makes each step 4 times too long',
};
