import { GraphBuilder, relu } from '@lethe/graph';
import * as ort from 'onnxruntime-node';
import { RUNTIME } from './errors.ts';

export type ExecutionProvider = 'cpu' | 'cuda';

/** Answers for the life of the process: a library that is missing now does not appear later. */
const asked = new Map<ExecutionProvider, Promise<void>>();

/**
 * Makes sure that a provider works, before a graph is built or data is read for it. The runtime lists providers that its package could
 * load; whether libraries, driver and device are there shows only when a session is made, so a graph of one node is tried.
 * @throws LETHE-3066
 */
export function requireProvider(provider: ExecutionProvider): Promise<void> {
  if (provider === 'cpu') return Promise.resolve();
  const known = asked.get(provider) ?? attempt(provider);
  asked.set(provider, known);
  return known;
}

async function attempt(provider: ExecutionProvider): Promise<void> {
  const details = { provider };
  const listed = ort.listSupportedBackends().map(({ name }) => name);
  if (!listed.includes(provider)) {
    throw RUNTIME.PROVIDER_MISSING(`this runtime has ${listed.join(', ')}, not ${provider}`, { details });
  }
  const g = new GraphBuilder();
  g.output('y', relu(g.shared('x', [1])));
  try {
    const session = await ort.InferenceSession.create(g.build().bytes, {
      executionProviders: [provider],
      logSeverityLevel: 4,
    });
    await session.release();
  } catch (cause) {
    throw RUNTIME.PROVIDER_MISSING(`${provider} cannot be used on this machine`, { details, cause });
  }
}
