import { defineErrors } from '@lethe/std';

/** Errors of the runtime: LETHE-3060 to 3079. */
export const RUNTIME = defineErrors({
  INPUT_MISMATCH: {
    code: 'LETHE-3060',
    status: 'INVALID_ARGUMENT',
    remedy: 'Feed exactly the inputs of the model, each with the dtype and shape that the message names.',
  },
  MODEL_REFUSED: {
    code: 'LETHE-3061',
    status: 'INTERNAL',
    remedy:
      'The runtime could not load the graph: look at the cause in the log, and at the runtime version on record.',
  },
  RUN_FAILED: {
    code: 'LETHE-3062',
    status: 'INTERNAL',
    remedy:
      'The runtime failed in the middle of a graph: look at the cause in the log; memory is the usual one.',
  },
  LABEL_OUT_OF_RANGE: {
    code: 'LETHE-3063',
    status: 'INVALID_ARGUMENT',
    remedy: 'Give every row a label from 0 to the number of classes minus 1; masked rows too.',
  },
  CLOSED: {
    code: 'LETHE-3064',
    status: 'FAILED_PRECONDITION',
    remedy: 'Create a new session; this one was closed.',
  },
  NOISE_LOST: {
    code: 'LETHE-3065',
    status: 'INTERNAL',
    remedy:
      'Resume the run from its ledger: it draws a new noise key, and the steps that were charged stay charged. Memory is the usual cause.',
  },
  PROVIDER_MISSING: {
    code: 'LETHE-3066',
    status: 'FAILED_PRECONDITION',
    remedy:
      "Run on the CPU (executionProvider: 'cpu'), or install the runtime's build with CUDA, a driver and a device.",
  },
  NOT_DETERMINISTIC: {
    code: 'LETHE-3067',
    status: 'INVALID_ARGUMENT',
    remedy: 'Use one thread and the CPU, or do without equal digests.',
  },
});
