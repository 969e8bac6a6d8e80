import { runtimeFingerprint } from '@lethe/runtime';

/** What digests of weights depend on besides data, seeds and hyper-parameters, as one line. */
export function fingerprint(): string {
  const { runtime, cpuModel, architecture } = runtimeFingerprint();
  return `${runtime}; ${cpuModel}; ${architecture}`;
}
