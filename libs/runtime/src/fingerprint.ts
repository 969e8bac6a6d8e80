import { arch, cpus } from 'node:os';
import * as ort from 'onnxruntime-node';

/**
 * What a digest of trained weights depends on besides data, seeds and hyper-parameters. Equality of digests is claimed between
 * runs with equal fingerprints; between CPU models it is untested, because kernels are chosen by the CPU's instructions.
 */
export interface RuntimeFingerprint {
  /** `onnxruntime-node` and its version. */
  readonly runtime: string;
  readonly cpuModel: string;
  /** Instruction set, as Node.js names it. */
  readonly architecture: string;
}

export function runtimeFingerprint(): RuntimeFingerprint {
  const version = ort.env.versions.node ?? ort.env.versions.common;
  return {
    runtime: `onnxruntime-node ${version}`,
    cpuModel: cpus()[0]?.model.trim() ?? 'unknown',
    architecture: arch(),
  };
}
