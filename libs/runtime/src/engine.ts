import type { Engine } from '@lethe/privacy';
import { Session, type SessionOptions } from './session.ts';
import { TrainStep } from './train-step.ts';

/** ONNX Runtime as what private training runs on. */
export const onnxEngine = (options: SessionOptions = {}): Engine => ({
  load: (model) => Session.create(model, options),
  loadStep: (graph, initial) => TrainStep.create(graph, initial, options),
});
