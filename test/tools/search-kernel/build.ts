/**
 * `node test/tools/search-kernel/build.ts`: kernel.wat → kernel.ts, once for a memory of one thread's own and once for a shared memory
 * (the two differ in the import's type alone). A test holds the committed file to its source.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import wabt from 'wabt';

/** Where source and result stand. */
export const FOLDER = new URL('../../../libs/hashing/src/search/', import.meta.url);

/** `{16 * i + 8}` with the values of `names`: sums of products, and `$x` or other words as they are. */
function substitute(line: string, names: ReadonlyMap<string, string>): string {
  return line.replace(/\{([^}]*)\}/g, (_, expression: string) => {
    const terms = expression.split('+').map((term) => term.split('*').map((word) => word.trim()));
    const values = terms.map((term) => term.map((word) => names.get(word) ?? word));
    if (values.length === 1 && values[0]!.length === 1) return values[0]![0]!;
    return String(values.map((term) => term.reduce((a, b) => a * Number(b), 1)).reduce((a, b) => a + b, 0));
  });
}

interface Macro {
  readonly parameters: readonly string[];
  readonly body: readonly string[];
}

/** Expands the three directives that kernel.wat explains. */
export function expand(source: string): string {
  const macros = new Map<string, Macro>();
  const words = (list: string): string[] => list.split(',').map((word) => word.trim());
  const run = (lines: readonly string[], names: ReadonlyMap<string, string>): string[] => {
    const out: string[] = [];
    for (let i = 0; i < lines.length; i++) {
      const line = substitute(lines[i]!, names);
      const directive = /^\s*#(macro|for) (\w+)(?:\((.*)\)| in (.*))$/.exec(lines[i]!);
      if (directive) {
        const body: string[] = [];
        for (let depth = 1; ; ) {
          const inner = lines[++i];
          if (inner === undefined) throw new Error(`"${line.trim()}" has no #end`);
          if (/^\s*#(macro|for) /.test(inner)) depth++;
          if (/^\s*#end$/.test(inner) && --depth === 0) break;
          body.push(inner);
        }
        const [, kind, name, parameters, values] = directive;
        if (kind === 'macro') macros.set(name!, { parameters: words(parameters!), body });
        else for (const value of values!.split(' ')) out.push(...run(body, new Map(names).set(name!, value)));
        continue;
      }
      const use = /^\s*(\w+)\((.*)\)$/.exec(line);
      const macro = use && macros.get(use[1]!);
      if (!macro) out.push(line);
      else {
        const values = words(use[2]!);
        out.push(...run(macro.body, new Map(macro.parameters.map((name, at) => [name, values[at]!]))));
      }
    }
    return out;
  };
  return run(
    source.split('\n').map((line) => line.replace(/;;.*$/, '').trimEnd()),
    new Map(),
  ).join('\n');
}

/** @returns the text of kernel.ts that belongs to kernel.wat */
export async function generate(): Promise<string> {
  const text = expand(readFileSync(new URL('kernel.wat', FOLDER), 'utf8'));
  const tools = await wabt();
  const binary = (limits: string): string => {
    const features = { simd: true, threads: true, relaxed_simd: true, bulk_memory: true };
    const parsed = tools.parseWat('kernel.wat', text.replace('MEMORY_LIMITS', limits), features);
    // Its declaration forgets the argument.
    (parsed as { validate(features: object): void }).validate(features);
    const { buffer } = parsed.toBinary({ log: false });
    parsed.destroy();
    return Buffer.from(buffer).toString('base64');
  };
  return [
    '// Written by `node test/tools/search-kernel/build.ts` from kernel.wat; do not edit.',
    `export const KERNEL_BASE64 =\n  '${binary('65536')}';`,
    `export const SHARED_KERNEL_BASE64 =\n  '${binary('65536 shared')}';\n`,
  ].join('\n');
}

if (import.meta.main) writeFileSync(new URL('kernel.ts', FOLDER), await generate());
