import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { buildModule, MODULE_FILE } from './build.ts';

test('the module in libs/hashing is what its source builds to', async () => {
  assert.equal(
    readFileSync(MODULE_FILE, 'utf8'),
    await buildModule(),
    'run node test/tools/head-kernel/build.ts',
  );
});
