import { initialWeights, momentum } from '@lethe/optim';
import { hex, seededRandom } from '@lethe/std';
import { buildTrainStep } from './train-step.ts';

/** Ten steps of a perceptron from seeds alone; run as a program it prints the digest of the weights. */
export async function trainedDigest(): Promise<string> {
  const model = { widths: [64, 48, 10], activation: 'tanh' } as const;
  const rows = 32;
  const step = await buildTrainStep({
    model,
    rows,
    optimizer: momentum(),
    objective: { kind: 'mean', divisor: rows },
    initial: initialWeights(model, seededRandom('determinism', 'weights')),
    deterministic: true,
  });
  const random = seededRandom('determinism', 'rows');
  for (let i = 0; i < 10; i++) {
    const x = Float32Array.from({ length: rows * 64 }, () => random.uniform() - 0.5);
    const labels = BigInt64Array.from({ length: rows }, () => BigInt(Math.floor(10 * random.uniform())));
    await step.run({ x, labels, mask: new Float32Array(rows).fill(1), learningRate: 0.1 });
  }
  const digest = hex(step.digest());
  await step.close();
  return digest;
}

if (import.meta.main) process.stdout.write(await trainedDigest());
