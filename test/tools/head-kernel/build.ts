/**
 * `node test/tools/head-kernel/build.ts`: builds `wat.ts` with wabt and writes the module that libs/hashing loads. `build.test.ts`
 * builds again and compares.
 */
import { writeFileSync } from 'node:fs';
import wabt from 'wabt';
import { WAT } from './wat.ts';

export const MODULE_FILE = new URL('../../../libs/hashing/src/kernel/module.ts', import.meta.url);

/** Text of `module.ts`. @throws what wabt says of text that does not parse or validate */
export async function buildModule(): Promise<string> {
  const parsed = (await wabt()).parseWat('head-kernel.wat', WAT, { simd: true });
  parsed.validate();
  const text = Buffer.from(parsed.toBinary({}).buffer).toString('base64');
  return `/** Written by test/tools/head-kernel/build.ts from wat.ts: do not edit. */\nexport const MODULE_BASE64 =\n  '${text}';\n`;
}

if (import.meta.main) writeFileSync(MODULE_FILE, await buildModule());
