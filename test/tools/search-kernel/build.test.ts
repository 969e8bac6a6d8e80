import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { expand, FOLDER, generate } from './build.ts';

test('kernel.ts is what kernel.wat builds: run "node test/tools/search-kernel/build.ts" and commit', async () => {
  assert.equal(readFileSync(new URL('kernel.ts', FOLDER), 'utf8'), await generate());
});

test('macros, repetitions and sums of products are expanded; a missing end is an error', () => {
  const source = '#macro put(a, b)\n({a} {b}) ;; why\n#end\n#for i in 1 2\nput($x{i}, {8 * i + 1})\n#end';
  assert.equal(expand(source), '($x1 9)\n($x2 17)');
  assert.throws(() => expand('#for i in 1 2\n({i})'), /has no #end/);
});
