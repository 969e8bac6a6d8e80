/**
 * The table of error codes in libs/std/README.md, from the declarations themselves.
 *
 *   node test/tools/errors-table.ts            print it
 *   node test/tools/errors-table.ts --write    put it into the README
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isCode, isTest, partOf, type Repository, ROOT, withoutComments, workingCopy } from './repository.ts';

export const README = 'libs/std/README.md';
const START = '<!-- errors: written by node test/tools/errors-table.ts --write -->';
const END = '<!-- /errors -->';

export interface DeclaredError {
  /** `libs/events` */
  readonly part: string;
  readonly file: string;
  readonly reason: string;
  readonly code: string;
  readonly status: string;
  readonly remedy: string;
}

/**
 * Codes of a part. A hundred is enough for any; small parts share one. To add a part, give it a
 * range that is free.
 */
export const RANGES: Readonly<Record<string, readonly [first: number, last: number]>> = {
  'libs/std': [1000, 1099],
  'libs/contracts': [1100, 1199],
  'libs/merkle': [1200, 1299],
  'libs/certificate': [1300, 1399],
  'libs/statistics': [1400, 1499],
  'libs/events': [2000, 2099],
  'libs/rpc': [2100, 2199],
  'libs/store': [2200, 2299],
  'libs/datasets': [2300, 2399],
  'libs/telemetry': [2500, 2598],
  'libs/index': [2600, 2699],
  'libs/tensor': [3000, 3019],
  'libs/graph': [3020, 3059],
  'libs/runtime': [3060, 3079],
  'libs/optim': [3080, 3099],
  'libs/privacy': [3300, 3399],
  'libs/hashing': [3400, 3499],
  'libs/vertical': [3500, 3599],
  'libs/unlearning': [3600, 3699],
  'libs/auditing': [3700, 3799],
  'services/vault': [4000, 4099],
  'services/federation': [4100, 4199],
  'services/hashing': [4200, 4299],
  'services/learning': [4300, 4399],
  'services/audit': [4400, 4499],
  'services/erasure': [4500, 4599],
  'libs/service': [5000, 5009],
  'libs/cli': [5010, 5099],
  'libs/party': [5100, 5199],
  'libs/demo': [5200, 5299],
};

/** Files that declare errors. */
export const declaringFiles = (repository: Repository): string[] =>
  repository.paths.filter(
    (path) =>
      isCode(path) && !isTest(path) && /\bdefineErrors\(\s*\{/.test(withoutComments(repository.text(path))),
  );

/** All errors by code. @throws what the import of a declaring file throws, a code declared under two names among it */
export async function declaredErrors(repository: Repository): Promise<DeclaredError[]> {
  const found: DeclaredError[] = [];
  for (const file of declaringFiles(repository)) {
    const module = (await import(pathToFileURL(join(ROOT, file)).href)) as Readonly<Record<string, unknown>>;
    for (const table of Object.values(module)) {
      if (typeof table !== 'object' || table === null) continue;
      for (const [reason, kind] of Object.entries(table)) {
        if (isKind(kind)) found.push({ part: partOf(file), file, reason, ...kind.spec });
      }
    }
  }
  return found.sort((a, b) => (a.code < b.code ? -1 : 1));
}

function isKind(
  value: unknown,
): value is { spec: { readonly code: string; readonly status: string; readonly remedy: string } } {
  const spec = (value as { spec?: { code?: unknown } } | undefined)?.spec;
  return typeof value === 'function' && typeof spec?.code === 'string';
}

/** Sections by part, a row by code, in markdown. */
export function errorsTable(errors: readonly DeclaredError[]): string {
  const rows = errors.map(
    ({ code, reason, status, part, remedy }) =>
      `| ${code} | ${reason} | ${status} | \`${part}\` | ${remedy.replaceAll('|', '\\|')} |`,
  );
  return ['| code | reason | gRPC status | part | what to do |', '|---|---|---|---|---|', ...rows].join('\n');
}

/** The table in a README; undefined where it has none. */
export function tableIn(readme: string): string | undefined {
  const [, rest] = readme.split(`${START}\n\n`);
  return rest?.split(`\n\n${END}`)[0];
}

if (import.meta.main) {
  const repository = workingCopy();
  const table = errorsTable(await declaredErrors(repository));
  if (process.argv.includes('--write')) {
    const readme = repository.text(README);
    const before = readme.includes(START)
      ? readme.slice(0, readme.indexOf(START))
      : `${readme.trimEnd()}\n\n`;
    const after = readme.includes(END) ? readme.slice(readme.indexOf(END) + END.length) : '\n';
    writeFileSync(join(ROOT, README), `${before}${START}\n\n${table}\n\n${END}${after}`);
  } else {
    console.log(table);
  }
}
