/**
 * The baseline of the engine's benchmark: the same training steps by PyTorch with Opacus, measured on this very machine.
 *
 * Machines differ by a factor of two, so a figure from elsewhere says little. PyTorch is no dependency of ours: a benchmark
 * measures the baseline where LETHE_BASELINE_PYTHON names a Python that has it, and says otherwise that it did not.
 *
 *     python3 -m venv .cache/baseline && .cache/baseline/bin/pip install torch opacus==1.5.4
 *     LETHE_BASELINE_PYTHON=.cache/baseline/bin/python npm run bench -- engine
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Milliseconds of one step; p10 and p90 are quantiles. */
export interface StepTime {
  readonly median: number;
  readonly min: number;
  readonly p10: number;
  readonly p90: number;
}

export type OpacusMode = 'plain' | 'ghost' | 'hooks';

/** What `opacus_steps.py` prints; its head says what is timed. */
export interface OpacusReport {
  readonly torch: string;
  readonly opacus: string;
  readonly python: string;
  readonly cpu: string;
  readonly cores: number;
  readonly loadBefore: number;
  readonly loadAfter: number;
  readonly rows: readonly {
    readonly model: 'mlp-784-512-512-10' | 'mlp-784-256-10' | 'mnist-cnn' | 'transformer-2x128';
    readonly parameters: number;
    readonly batch: number;
    readonly threads: number;
    readonly modes: Readonly<
      Partial<
        Record<OpacusMode, { readonly steps: number; readonly wallMs: StepTime; readonly cpuMs: StepTime }>
      >
    >;
  }[];
}

export interface NotMeasured {
  /** Why, and what to do, in one sentence for the report. */
  readonly notMeasured: string;
}

const HOW =
  'make a virtual environment, pip install torch opacus==1.5.4, and name its python in LETHE_BASELINE_PYTHON';

/** @param python what LETHE_BASELINE_PYTHON says  @param seconds for each of the twelve rows, about */
export function opacusBaseline(python: string | undefined, seconds = 6): OpacusReport | NotMeasured {
  if (!python) return { notMeasured: `baseline not measured here: ${HOW}` };
  const script = fileURLToPath(new URL('opacus_steps.py', import.meta.url));
  const { status, stdout, stderr, error } = spawnSync(python, [script, '--seconds', String(seconds)], {
    encoding: 'utf8',
  });
  if (status !== 0) {
    const why = error?.message ?? stderr.trim().split('\n').at(-1) ?? 'no message';
    return { notMeasured: `baseline not measured: ${python} failed (${why}); ${HOW}` };
  }
  return JSON.parse(stdout) as OpacusReport;
}
