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
  ONNX_MALFORMED: {
    code: 'LETHE-3026',
    status: 'INVALID_ARGUMENT',
    remedy: 'Give the whole, undamaged file of an ONNX model; the message says where reading it stopped.',
  },
  ONNX_UNSUPPORTED: {
    code: 'LETHE-3027',
    status: 'INVALID_ARGUMENT',
    remedy:
      'Save the model again without the feature that the message names: one file, dense tensors, standard element types.',
  },
  ONNX_NOT_IMPORTED: {
    code: 'LETHE-3028',
    status: 'INVALID_ARGUMENT',
    remedy:
      'Replace the operator that the message names, import it frozen, or run this part of the model on its own and feed its result.',
  },
  ONNX_NOT_EXPORTED: {
    code: 'LETHE-3029',
    status: 'INVALID_ARGUMENT',
    remedy: 'Export the forward pass alone, with a value for every parameter that it uses.',
  },
});
