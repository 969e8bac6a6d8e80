import { defineErrors } from '@lethe/std';

/** Errors of the graph library: LETHE-3020 to 3059. */
export const GRAPH = defineErrors({
  SHAPE_DISAGREES: {
    code: 'LETHE-3020',
    status: 'INVALID_ARGUMENT',
    remedy: 'Change the shapes of the operands that the message names.',
  },
  DTYPE_DISAGREES: {
    code: 'LETHE-3021',
    status: 'INVALID_ARGUMENT',
    remedy:
      'Give operands of one dtype; labels are int64, masks and everything that is differentiated are floats.',
  },
  NO_GRADIENT: {
    code: 'LETHE-3022',
    status: 'INVALID_ARGUMENT',
    remedy:
      'Build the loss from operations that have a gradient; the reason in the message says why this one has none.',
  },
  UNREACHABLE: {
    code: 'LETHE-3023',
    status: 'INVALID_ARGUMENT',
    remedy: 'Differentiate with respect to values that the loss depends on.',
  },
  NO_PER_EXAMPLE_RULE: {
    code: 'LETHE-3024',
    status: 'INVALID_ARGUMENT',
    remedy:
      'Use layers that treat each example on its own, or train this model without per-subject clipping.',
  },
  NAME_TAKEN: {
    code: 'LETHE-3025',
    status: 'INVALID_ARGUMENT',
    remedy: 'Give every input, parameter and output of a graph a name of its own.',
  },
});
