/** Methods by name, of the deep tier and of `methods/`: what can be asked for, and what is refused by name because it does not exist here. */
import { HASHING } from '../errors.ts';
import { LOSS_TERMS } from './terms.ts';

export interface Method {
  readonly kind: 'loss' | 'codes' | 'class rows' | 'baseline' | 'head' | 'ingestion';
  readonly source: string;
}

const losses = Object.fromEntries(
  Object.entries(LOSS_TERMS).map(([name, { source }]) => [name, { kind: 'loss', source } as const]),
);

export const METHODS: Readonly<Record<string, Method>> = {
  ...losses,
  'discrete-updates': {
    kind: 'codes',
    source: 'Shen, Shen, Liu, Shen, "Supervised Discrete Hashing", CVPR 2015, section 3.2',
  },
  hadamard: { kind: 'class rows', source: 'rows of the Sylvester-Hadamard matrix, as in the analytic tier' },
  simplex: {
    kind: 'class rows',
    source: 'Biondi, Pernici, Ricci, Del Bimbo, "Stationary Representations", CVPR 2024',
  },
  'dlch-published': { kind: 'baseline', source: 'arXiv 2304.13357 and its public code, defects included' },
  'near-duplicates': {
    kind: 'ingestion',
    source: 'selective reduction of CT data by hashing (keep if the smallest Hamming distance is above r)',
  },
  'semi-paired-anchors': {
    kind: 'ingestion',
    source: 'RREH, relation reconstruction over anchors for semi-paired items; in its closed form over sums',
  },
  'view-fusion': {
    kind: 'ingestion',
    source: 'Deep Multi-View Enhancement Hashing: views weighted by their stability in Hamming space',
  },
  'dynamic-threshold': {
    kind: 'head',
    source: 'CSCE-Net, dynamic sign; here by bit and version, not by item',
  },
  'key-value-head': {
    kind: 'head',
    source: 'Träuble et al., "Discrete Key-Value Bottleneck", ICML 2023; with public keys and integer values',
  },
  'few-shot': {
    kind: 'head',
    source: '"Bag of Tricks for few-shot class-incremental learning"; without its virtual classes',
  },
};

/** Asked for by the plan of this library, and not there. */
export const MISSING_METHODS = ['virtual-classes'] as const;

/** @throws LETHE-3451 the method is missing, or no such name is known */
export function requireMethod(name: string): Method {
  const method = Object.hasOwn(METHODS, name) ? METHODS[name] : undefined;
  if (method) return method;
  const missing = (MISSING_METHODS as readonly string[]).includes(name);
  const known = Object.keys(METHODS).join(', ');
  throw HASHING.METHOD_MISSING(
    missing ? `${name} is not built` : `no method has this name; there are ${known}`,
    { details: missing ? { name } : {} },
  );
}
