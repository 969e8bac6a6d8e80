#!/usr/bin/env node
// Lethe needs Node 24, which runs its TypeScript as it is. Where the machine's own Node is older, this starts the one
// that `npm ci` has put into node_modules. Written so that old versions of Node can read it.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const main = new URL('../src/main.ts', import.meta.url);
const major = Number(process.versions.node.split('.')[0]);

if (major >= 24) {
  await import(main.href);
} else {
  const node = ownNode();
  if (node === undefined) {
    process.stderr.write(
      `[LETHE-5010] Lethe needs Node 24 or later; this is ${process.versions.node}.\n` +
        '  On Linux (x64, arm64) `npm ci` in the repository brings one; elsewhere install it from nodejs.org.\n',
    );
    process.exitCode = 2;
  } else {
    const child = spawn(node, [fileURLToPath(main), ...process.argv.slice(2)], { stdio: 'inherit' });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
    child.on('exit', (code, signal) => {
      process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 143);
    });
  }
}

function ownNode() {
  try {
    const require = createRequire(import.meta.url);
    return require.resolve(`node-${process.platform}-${process.arch}/bin/node`);
  } catch {
    return undefined;
  }
}
