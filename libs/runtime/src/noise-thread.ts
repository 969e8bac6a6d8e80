/**
 * The thread behind `NoiseWorker`: fills the blocks it is given, one step each, and gives them away again. It loads the noise and nothing else of
 * @lethe/privacy, which saves 20 MB.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { StepNoise } from '@lethe/privacy/step-noise';
import { assert } from '@lethe/std';
import { blockViews, type NoiseBlock, type NoiseThreadData } from './noise-block.ts';

assert(parentPort !== null, 'this file is the code of a worker thread');
const port = parentPort;
const { key, grid, lengths, blocks } = workerData as NoiseThreadData;
const noise = new StepNoise(key);
key.fill(0);

function make(buffer: ArrayBuffer): void {
  const step = noise.nextStep;
  noise.fill(step, grid, blockViews(buffer, lengths));
  const block: NoiseBlock = { step, buffer };
  port.postMessage(block, [buffer]);
}

port.on('message', make);
const bytes = 4 * lengths.reduce((sum, length) => sum + length, 0);
for (let block = 0; block < blocks; block++) make(new ArrayBuffer(bytes));
