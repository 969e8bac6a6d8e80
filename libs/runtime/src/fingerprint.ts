import { readFileSync } from 'node:fs';
import { arch, cpus } from 'node:os';
import * as ort from 'onnxruntime-node';
import type { ExecutionProvider } from './execution-provider.ts';

/**
 * What a digest of trained weights depends on besides data, seeds and hyper-parameters. Equality of digests is claimed between
 * runs with equal fingerprints. Between CPU models it is untested, because kernels are chosen by the CPU's instructions. Between
 * numbers of threads it does not hold: with 2 threads a product [32, 784] x [784, 64] is cut into blocks that are summed in another
 * order than with 1 (seen with 1.30.0; larger products were equal).
 */
export interface RuntimeFingerprint {
  /** `onnxruntime-node` and its version. */
  readonly runtime: string;
  /** Brand, and family, model and stepping where the system tells them: virtual machines often name the brand alone. */
  readonly cpuModel: string;
  /** Vector instructions that kernels are chosen by, sorted; empty where the system does not tell. */
  readonly instructions: readonly string[];
  /** Instruction set, as Node.js names it. */
  readonly architecture: string;
  readonly threads: number;
  /** Where operators ran. */
  readonly executionProvider: ExecutionProvider;
}

const VECTOR = /^(sse|ssse|avx|fma|f16c|amx|asimd|sve|sme(?!p)|i8mm|bf16)/;

/** @param threads that the sessions in question use @param executionProvider likewise */
export function runtimeFingerprint(
  threads = 1,
  executionProvider: ExecutionProvider = 'cpu',
): RuntimeFingerprint {
  const version = ort.env.versions.node ?? ort.env.versions.common;
  const info = cpuInfo();
  const brand = cpus()[0]?.model.trim() ?? 'unknown';
  const numbers = [
    ['family', info.get('cpu family')],
    ['model', info.get('model')],
    ['stepping', info.get('stepping')],
  ].flatMap(([name, value]) => (value ? [`${name} ${value}`] : []));
  const flags = (info.get('flags') ?? info.get('Features') ?? '').split(' ');
  return {
    runtime: `onnxruntime-node ${version}`,
    cpuModel: [brand, ...numbers].join(' '),
    instructions: flags.filter((flag) => VECTOR.test(flag)).sort(),
    architecture: arch(),
    threads,
    executionProvider,
  };
}

/** Fields of the first processor of Linux's /proc/cpuinfo; empty elsewhere. */
function cpuInfo(): Map<string, string> {
  try {
    const [first = ''] = readFileSync('/proc/cpuinfo', 'utf8').split('\n\n');
    return new Map(
      first.split('\n').map((line): [string, string] => {
        const [name = '', value = ''] = line.split(':');
        return [name.trim(), value.trim()];
      }),
    );
  } catch {
    return new Map();
  }
}
