// Runs a TypeScript file on Node 24, which takes it as it is: `node node24.mjs FILE ARGUMENTS…`. Where the machine's own Node
// is older, this starts the one that `npm ci` has put into node_modules. Written so that old versions of Node can read it.
import { spawn } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export async function runOnNode24(file, args) {
  if (Number(process.versions.node.split('.')[0]) >= 24) {
    process.argv = [process.argv[0], file, ...args];
    await import(pathToFileURL(file).href);
    return;
  }
  const node = ownNode();
  if (node === undefined) {
    process.stderr.write(
      `[LETHE-5010] Lethe needs Node 24 or later; this is ${process.versions.node}.\n` +
        '  On Linux (x64, arm64) `npm ci` in the repository brings one; elsewhere install it from nodejs.org.\n',
    );
    process.exitCode = 2;
    return;
  }
  const child = spawn(node, [file, ...args], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 143);
  });
}

function ownNode() {
  try {
    return createRequire(import.meta.url).resolve(`node-${process.platform}-${process.arch}/bin/node`);
  } catch {
    return undefined;
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [file, ...args] = process.argv.slice(2);
  await runOnNode24(resolve(file), args);
}
