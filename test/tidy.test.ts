/**
 * The house rules, as a test that teaches: each finding says where, what, and what to do instead. An exception stands in
 * EXCEPTIONS with its reason; one that no finding needs any more fails too, so that the list only shrinks.
 *
 * Each rule is proven below on a made-up repository that breaks it.
 */
import assert from 'node:assert/strict';
import { dirname, join } from 'node:path/posix';
import { test } from 'node:test';
import {
  declaredErrors,
  declaringFiles,
  errorsTable,
  RANGES,
  README,
  tableIn,
} from './tools/errors-table.ts';
import {
  importsOf,
  isCode,
  isTest,
  type Manifest,
  madeUp,
  packageOf,
  partOf,
  type Repository,
  resolvePath,
  withoutComments,
  withoutText,
  workingCopy,
} from './tools/repository.ts';

interface Finding {
  /** File, or file and what it imports: what an exception names. */
  readonly where: string;
  readonly what: string;
}

interface Rule {
  readonly name: string;
  readonly check: (repository: Repository) => readonly Finding[];
  /** A repository that breaks it, and what must be found there, one pattern per finding. */
  readonly broken: Readonly<Record<string, string>>;
  readonly finds: readonly RegExp[];
}

/** `[rule, where, why]`: what a rule forbids and we do nevertheless. */
const EXCEPTIONS: readonly (readonly [rule: string, where: string, reason: string])[] = [
  [
    'pure libraries',
    'libs/std/src/ports.ts',
    'the one place where the real clock is made; everybody else gets it',
  ],
  [
    'pure libraries',
    'libs/std/src/mailbox.ts',
    'a queue that is waited for with a limit; its timer ends with the wait and nothing reads a clock',
  ],
  [
    'skipped tests',
    'test/conformance/leader-loss.test.ts',
    'needs a nats-server that can form a cluster; .ci/run brings one, a machine without it says what was skipped',
  ],
  [
    'skipped tests',
    'libs/datasets/src/pictures.test.ts',
    'two tests read fetched data; without it they name the command, and all else runs on what is written in the test',
  ],
  [
    'skipped tests',
    'test/e2e/demo-emoji.test.ts',
    'needs fetched data; without it the test names the commands, and the pure parts are tested in libs/demo',
  ],
  [
    'skipped tests',
    'libs/datasets/src/encoders/encoders.test.ts',
    'two tests run the fetched encoder; without it they name the command, and the converter is tested on small graphs',
  ],
  [
    'pure libraries',
    'libs/certificate/src/verify-cli.ts',
    'the command of the stand-alone verifier reads the files it is given; the verification itself gets bytes',
  ],
];

/* ------------------------------------------------------------------ the arrows */

/** Lowest first. A part imports its own tier and those below it. */
const TIERS: readonly (readonly [name: string, parts: readonly string[]])[] = [
  ['std', ['libs/std']],
  ['contracts', ['libs/contracts']],
  [
    'pure libraries',
    [
      'libs/tensor',
      'libs/graph',
      'libs/optim',
      'libs/statistics',
      'libs/merkle',
      'libs/privacy',
      'libs/hashing',
      'libs/vertical',
      'libs/unlearning',
      'libs/auditing',
      'libs/certificate',
    ],
  ],
  [
    'adapters',
    [
      'libs/telemetry',
      'libs/datasets',
      'libs/runtime',
      'libs/events',
      'libs/rpc',
      'libs/store',
      'libs/index',
    ],
  ],
  ['platform libraries', ['libs/client', 'libs/service']],
  [
    'services',
    [
      'services/vault',
      'services/hashing',
      'services/learning',
      'services/federation',
      'services/audit',
      'services/erasure',
    ],
  ],
  ['applications', ['services/platform', 'libs/party', 'libs/cli', 'libs/demo']],
  ['test', ['test']],
];
const TIER_OF = new Map(
  TIERS.flatMap(([, parts], tier) => parts.map((part): [string, number] => [part, tier])),
);
const PURE = new Set(TIERS.slice(0, 3).flatMap(([, parts]) => parts));

/** The checker must not share the doer's mistakes, and an outsider must be able to run the verifier alone. */
const ONLY: Readonly<Record<string, readonly string[]>> = {
  'libs/auditing': ['libs/std', 'libs/statistics'],
  'libs/certificate': ['libs/std', 'libs/merkle', 'libs/statistics'],
};

const code = (repository: Repository): string[] => repository.paths.filter(isCode);

const manifests = (repository: Repository): Map<string, Manifest> =>
  new Map(
    repository.paths
      .filter((path) => /^(|libs\/[^/]+\/|services\/[^/]+\/|test\/)package\.json$/.test(path))
      .map((path) => [partOf(path), JSON.parse(repository.text(path)) as Manifest]),
  );

const partsByName = (repository: Repository): Map<string, string> =>
  new Map([...manifests(repository)].map(([part, manifest]) => [manifest.name, part]));

const arrows: Rule = {
  name: 'arrows',
  check: (repository) => {
    const parts = partsByName(repository);
    return code(repository).flatMap((path): Finding[] => {
      const from = partOf(path);
      if (from === '') return [];
      const tier = TIER_OF.get(from);
      if (tier === undefined)
        return [{ where: path, what: `${from} is in no tier; add it to TIERS in test/tidy.test.ts` }];
      return importsOf(repository.text(path)).flatMap((specifier): Finding[] => {
        const where = `${path} ← ${specifier}`;
        if (specifier.startsWith('.')) {
          return partOf(resolvePath(path, specifier)) === from
            ? []
            : [{ where, what: 'a relative import leaves its package; import the other one by its name' }];
        }
        const name = packageOf(specifier) ?? '';
        const to = parts.get(name);
        if (to === undefined) return [];
        const door = `.${specifier.slice(name.length)}`;
        if (!manifests(repository).get(to)?.exports?.[door]) {
          return [{ where, what: `${name} has no door "${door}"; export the name from its src/index.ts` }];
        }
        if (to === from || isTest(path)) return [];
        const target = TIER_OF.get(to) ?? Number.POSITIVE_INFINITY;
        if (from.startsWith('services/') && tier === target) {
          return [
            {
              where,
              what: 'services never import services; react to its events, or read by its RPC (libs/client)',
            },
          ];
        }
        if (target > tier) {
          return [
            {
              where,
              what: `${from} (${TIERS[tier]?.[0]}) is below ${to}; take what you need as a parameter or a port`,
            },
          ];
        }
        if (ONLY[from]?.includes(to) === false) {
          return [
            {
              where,
              what: `${from} checks what others do and must not share their code; it may import ${ONLY[from].join(', ')}`,
            },
          ];
        }
        return [];
      });
    });
  },
  broken: {
    'libs/graph/package.json': '{ "name": "@lethe/graph", "exports": { ".": "./src/index.ts" } }',
    'libs/events/package.json': '{ "name": "@lethe/events", "exports": { ".": "./src/index.ts" } }',
    'libs/auditing/package.json': '{ "name": "@lethe/auditing", "exports": { ".": "./src/index.ts" } }',
    'services/audit/package.json': '{ "name": "@lethe/audit-service", "exports": { ".": "./src/index.ts" } }',
    'libs/graph/src/index.ts': "import { connect } from '@lethe/events';",
    'libs/events/src/index.ts':
      "export { vjp } from '@lethe/graph/src/rules.ts';\nimport '../../graph/src/index.ts';",
    'libs/auditing/src/index.ts': "import type { Graph } from '@lethe/graph';",
    'services/vault/src/index.ts': "const audit = await import('@lethe/audit-service');",
    'libs/other/src/index.ts': '',
  },
  finds: [
    /below libs\/events/,
    /no door/,
    /relative import leaves/,
    /must not share/,
    /never import services/,
    /in no tier/,
  ],
};

/* ------------------------------------------------------------------ pure libraries */

/** Modules of Node that touch nothing outside the process. */
const HARMLESS = new Set(['node:crypto', 'node:util', 'node:buffer']);

const IMPURE: readonly (readonly [pattern: RegExp, remedy: string])[] = [
  [
    /\bDate\.now\(|\bnew Date\(\)|\bperformance\.now\(/,
    'take the time as a parameter, or a Clock of @lethe/std',
  ],
  [/\bMath\.random\(/, 'take a RandomSource of @lethe/std, so that a seed repeats it'],
  [/\bprocess\.(?!emitWarning)/, 'take the setting as a parameter; the environment is read in libs/service'],
  [/\bconsole\./, 'return the fact, or take a Logger of @lethe/std'],
  [/\bfetch\(|\bset(Timeout|Interval)\(/, 'leave waiting and the network to an adapter'],
];

const pure: Rule = {
  name: 'pure libraries',
  check: (repository) =>
    code(repository)
      .filter((path) => PURE.has(partOf(path)) && !isTest(path))
      .flatMap((path) => [
        ...importsOf(repository.text(path))
          .filter((specifier) => specifier.startsWith('node:') && !HARMLESS.has(specifier))
          .map((specifier) => ({
            where: path,
            what: `a pure library imports ${specifier}; take bytes as a parameter and let an adapter read them`,
          })),
        ...IMPURE.filter(([pattern]) => pattern.test(withoutText(repository.text(path)))).map(
          ([pattern, remedy]) => ({
            where: path,
            what: `a pure library uses ${pattern.source}; ${remedy}`,
          }),
        ),
      ]),
  broken: {
    'libs/merkle/src/a.ts':
      "import { readFileSync } from 'node:fs';\nimport { createHash } from 'node:crypto';",
    'libs/merkle/src/b.ts':
      '// Date.now() in a comment is none\nconst at = Date.now();\nconst draw = Math.random();',
    'libs/merkle/src/c.ts': "const text = 'process.env';\nconst home = process.env.HOME;",
    'libs/merkle/src/d.test.ts': "import { readFileSync } from 'node:fs';",
  },
  finds: [/imports node:fs/, /take the time/, /RandomSource/, /take the setting/],
};

/* ------------------------------------------------------------------ packages */

/** Development packages of the root that no file imports, because a command runs them. */
const COMMANDS: Readonly<Record<string, string>> = {
  typescript: 'tsc',
  '@types/node': 'types of node:*',
  '@types/pg': 'types of pg',
  '@types/pngjs': 'types of pngjs',
  '@biomejs/biome': 'biome',
  '@bufbuild/buf': 'buf',
  'ts-proto': 'plugin of buf generate',
};

const dependencies: Rule = {
  name: 'dependencies',
  check: (repository) => {
    const all = manifests(repository);
    const root = all.get('');
    const versions: Readonly<Record<string, string>> = { ...root?.devDependencies, ...root?.dependencies };
    const used = new Set<string>();
    const findings: Finding[] = [];
    for (const [part, manifest] of all) {
      if (part === '') continue;
      const where = `${part}/package.json`;
      const say = (what: string): void => void findings.push({ where, what });
      const imported = { run: new Set<string>(), test: new Set<string>() };
      for (const path of repository.paths) {
        if (partOf(path) !== part || !/\.(ts|mjs)$/.test(path)) continue;
        const into = isTest(path) && part !== 'test' ? imported.test : imported.run;
        for (const specifier of importsOf(repository.text(path))) {
          const name = packageOf(specifier);
          if (name !== undefined && name !== manifest.name) into.add(name);
        }
      }
      for (const name of [...imported.run, ...imported.test]) used.add(name);
      const run = manifest.dependencies ?? {};
      const development = manifest.devDependencies ?? {};
      const forTests = part === 'test' ? { ...development, ...root?.devDependencies } : development;
      for (const name of imported.run) {
        if (!run[name] && !(part === 'test' && forTests[name]))
          say(`imports ${name}: add it to dependencies`);
      }
      for (const name of imported.test) {
        const known = run[name] ?? development[name] ?? root?.devDependencies?.[name];
        if (!known) say(`its tests import ${name}: add it to devDependencies`);
      }
      for (const [name, version] of [...Object.entries(run), ...Object.entries(development)]) {
        const inTests = imported.test.has(name);
        if (!imported.run.has(name) && !inTests) say(`nothing imports ${name}: remove it`);
        else if (run[name] && !imported.run.has(name))
          say(`only tests import ${name}: move it to devDependencies`);
        else if (development[name] && imported.run.has(name)) say(`imports ${name}: move it to dependencies`);
        const expected = versions[name] ?? (name.startsWith('@lethe/') ? '0.1.0' : undefined);
        if (expected !== undefined && expected !== version)
          say(`${name} is ${expected} in the root: write the same here`);
        if (!/^\d/.test(version)) say(`${name} has the range ${version}: pin one version`);
      }
    }
    for (const name of Object.keys(versions)) {
      if (!used.has(name) && !COMMANDS[name]) {
        findings.push({
          where: 'package.json',
          what: `nothing imports ${name}: remove it, or name its command in COMMANDS`,
        });
      }
    }
    return findings;
  },
  broken: {
    'package.json':
      '{ "name": "lethe", "dependencies": { "pino": "10.4.0", "left": "1.0.0" }, "devDependencies": { "typescript": "7.0.2" } }',
    'libs/a/package.json':
      '{ "name": "@lethe/a", "dependencies": { "pino": "^9.0.0", "@lethe/std": "0.1.0", "@lethe/t": "0.1.0" } }',
    'libs/a/src/index.ts': "import { pino } from 'pino';\nimport type { X } from '@grpc/grpc-js';",
    'libs/a/src/index.test.ts': "import { t } from '@lethe/t';\nimport fc from 'fast-check';",
  },
  finds: [
    /imports @grpc\/grpc-js: add/,
    /tests import fast-check: add/,
    /pino is 10\.4\.0 in the root/,
    /pin one version/,
    /nothing imports @lethe\/std/,
    /only tests import @lethe\/t/,
    /nothing imports left/,
  ],
};

/* ------------------------------------------------------------------ what is left lying about */

// Built from pieces: this file is read by its own rules.
const MARKERS = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'HA' + 'CK'].join('|')})\\b`);
const isText = (path: string): boolean =>
  /\.(ts|mjs|md|json|ya?ml|proto|sh|conf|env)$|(^|\/)(Dockerfile|Tiltfile|run)$/.test(path);
const linesOf = (text: string): readonly (readonly [number, string])[] =>
  text.split('\n').map((line, index) => [index + 1, line] as const);

const leftovers: Rule = {
  name: 'leftovers',
  check: (repository) =>
    repository.paths
      .filter((path) => isText(path) && path !== 'package-lock.json' && !path.includes('/gen/'))
      .flatMap((path) =>
        linesOf(repository.text(path)).flatMap(([line, text]) => {
          const marker = MARKERS.exec(text)?.[1];
          return marker
            ? [
                {
                  where: path,
                  what: `line ${line}: ${marker}; do it, or open an issue and say its effect here`,
                },
              ]
            : [];
        }),
      ),
  broken: { 'libs/a/src/a.ts': `// ${'TO' + 'DO'}: later`, 'README.md': `# A\n${'FIX' + 'ME'}` },
  finds: [/line 1: /, /line 2: /],
};

const SUPPRESSIONS = new RegExp(`@ts-(${['ignore', 'expect-error', 'nocheck'].join('|')})`);
const ANY = new RegExp(`(:|(?<!\\*\\s)\\bas|<|,|=>|=)\\s*${'an' + 'y'}\\b(?!\\s*[:(.])`);

const types: Rule = {
  name: 'types',
  check: (repository) =>
    code(repository).flatMap((path) => {
      const text = repository.text(path);
      return [
        ...(SUPPRESSIONS.test(text) && path !== 'test/tidy.test.ts'
          ? [{ where: path, what: 'a type error is suppressed; make the types say what is true' }]
          : []),
        ...(ANY.test(withoutText(text))
          ? [{ where: path, what: 'use unknown and narrow it, or name the type' }]
          : []),
      ];
    }),
  broken: {
    'libs/a/src/a.ts': `// ${'@ts'}-ignore\nexport const a = 1;`,
    'libs/a/src/b.ts': `export const b = (x: ${'an' + 'y'}[]) => x;\n// any of them`,
  },
  finds: [/suppressed/, /use unknown/],
};

const skipped: Rule = {
  name: 'skipped tests',
  check: (repository) =>
    code(repository)
      .filter((path) => path.endsWith('.test.ts') || path.startsWith('test/'))
      .filter((path) =>
        /\b(test|it|describe|suite|t)\.(skip|only|todo)\(|\b(skip|only|todo):/.test(
          withoutText(repository.text(path)),
        ),
      )
      .map((path) => ({
        where: path,
        what: 'a test is skipped or runs alone; mend it, or delete it and say so in the commit',
      })),
  broken: {
    'libs/a/src/a.test.ts': "test.only('x', () => {});",
    'libs/a/src/b.test.ts': "test('x', { skip: true }, () => {});",
  },
  finds: [/skipped/, /skipped/],
};

const unreferenced: Rule = {
  name: 'dead files',
  check: (repository) => {
    const named = new Set<string>();
    for (const path of code(repository)) {
      const source = withoutComments(repository.text(path));
      for (const specifier of importsOf(source))
        if (specifier.startsWith('.')) named.add(resolvePath(path, specifier));
      // A worker or a child process: new URL('./x.ts', import.meta.url), or a path from the root in a string.
      for (const [, , text = ''] of source.matchAll(/(['"`])([^'"`\n]+\.(?:ts|mjs|sh))\1/g)) {
        named.add(join(dirname(path), text)).add(text);
      }
    }
    const known = new Set(repository.paths);
    const absent: Finding[] = [];
    for (const [part, { exports = {}, scripts = {}, bin = {} }] of manifests(repository)) {
      const run = Object.values(scripts).flatMap((script) =>
        script.split(' ').filter((word) => /\.(ts|mjs|sh)$/.test(word)),
      );
      for (const file of [...Object.values(exports), ...Object.values(bin), ...run].map((name) =>
        join(part, name),
      )) {
        named.add(file);
        if (known.has(file)) continue;
        absent.push({
          where: join(part, 'package.json'),
          what: `it names ${file}, which is not there; write it or take the line out`,
        });
      }
    }
    const others = repository.paths
      .filter((path) => isText(path) && !isCode(path) && !path.endsWith('package-lock.json'))
      .map((path) => ({ part: partOf(path), text: repository.text(path) }));
    // A page of the same package may name it as seen from there: src/x.ts.
    const mentioned = (path: string): boolean =>
      others.some(
        ({ part, text }) =>
          text.includes(path) ||
          (part !== '' && path.startsWith(`${part}/`) && text.includes(path.slice(part.length + 1))),
      );
    const dead = repository.paths
      .filter((path) => (isCode(path) || path.endsWith('.sh')) && !/\.(test|bench|sim)\.ts$/.test(path))
      .filter((path) => !/^services\/[^/]+\/src\/main\.ts$/.test(path))
      .filter((path) => !named.has(path) && !mentioned(path))
      .map((path) => ({
        where: path,
        what: 'nothing imports, runs or mentions this file; use it or delete it',
      }));
    return [...absent, ...dead];
  },
  broken: {
    'libs/a/package.json':
      '{ "name": "@lethe/a", "exports": { ".": "./src/index.ts" }, "scripts": { "x": "node src/gone.ts" } }',
    'libs/a/src/index.ts': "export * from './used.ts';\nspawn(new URL('./worker.ts', import.meta.url));",
    'libs/a/src/used.ts': '',
    'libs/a/src/worker.ts': '',
    'libs/a/src/dead.ts': "// import './buried.ts'",
    'libs/a/src/buried.ts': '',
  },
  finds: [/names libs\/a\/src\/gone\.ts/, /nothing imports/, /nothing imports/],
};

/* ------------------------------------------------------------------ pages and files */

const withoutFences = (text: string): string => text.replaceAll(/^(```|~~~)[\s\S]*?^\1/gm, '');

const pages: Rule = {
  name: 'pages',
  check: (repository) => {
    const known = new Set(repository.paths);
    const folders = new Set(
      repository.paths.flatMap((path) =>
        path.split('/').map((_, depth, all) => all.slice(0, depth).join('/')),
      ),
    );
    const pagesThere = repository.paths.filter((path) => path.endsWith('.md'));
    const missing = [...manifests(repository).keys()]
      .filter((part) => part !== 'test' && !known.has(join(part, 'README.md')))
      .map((part) => ({
        where: join(part, 'README.md'),
        what: 'write it: what the part is, takes, gives and keeps, where to start reading, how to add one more',
      }));
    return [
      ...missing,
      ...pagesThere.flatMap((path) => {
        const text = withoutFences(repository.text(path));
        const titles = text.match(/^# .*$/gm) ?? [];
        const links = [...text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map((match) => match[1] ?? '');
        return [
          ...(titles.length === 1
            ? []
            : [{ where: path, what: `${titles.length} first-level headings; a page has one title` }]),
          ...links
            .filter((link) => !/^[a-z]+:/.test(link))
            .map((link) => join(dirname(path), link).replace(/\/$/, ''))
            .filter((target) => !known.has(target) && !folders.has(target))
            .map((target) => ({ where: path, what: `it links to ${target}, which is not there` })),
        ];
      }),
    ];
  },
  broken: {
    'libs/a/package.json': '{ "name": "@lethe/a" }',
    'README.md':
      '# One\n# Two\n```sh\n# no title\n```\n[gone](docs/gone.md) [here](libs/a) [there](https://example.test)',
  },
  finds: [/write it/, /2 first-level headings/, /links to docs\/gone\.md/],
};

const BYTES_MAX = 500_000;

const large: Rule = {
  name: 'large files',
  check: (repository) =>
    repository.paths
      .filter((path) => repository.bytes(path) > BYTES_MAX)
      .map((path) => ({
        where: path,
        what: `${repository.bytes(path)} bytes; generate it, or bring it by a package`,
      })),
  broken: { 'test/golden/big.bin': 'x'.repeat(BYTES_MAX + 1) },
  finds: [/500001 bytes/],
};

const REGISTRIES = [
  ['registry', 'npmjs', 'org'],
  ['npmjs', 'com'],
  ['yarnpkg', 'com'],
  ['pypi', 'org'],
  ['crates', 'io'],
  ['deb', 'debian', 'org'],
  ['proxy', 'golang', 'org'],
].map((labels) => labels.join('.'));
const MACHINE_PATHS = new RegExp(
  `(^|[\\s'"\`(=:])/(${['work', 'root', 'home', 'Users'].join('|')})/[\\w.-]`,
  'm',
);

const places: Rule = {
  name: 'places',
  check: (repository) =>
    repository.paths
      .filter((path) => isText(path) || path.startsWith('.') || !path.includes('.'))
      .flatMap((path) => {
        const text = repository.text(path);
        return [
          ...REGISTRIES.filter((host) => text.includes(host)).map((host) => ({
            where: path,
            what: `it names ${host}; whoever installs chooses the registry, so say the package's name alone`,
          })),
          ...(MACHINE_PATHS.test(text)
            ? [
                {
                  where: path,
                  what: 'it names a path of one machine; make it relative to the repository or a parameter',
                },
              ]
            : []),
        ];
      }),
  broken: {
    'package-lock.json': `{ "resolved": "https://${REGISTRIES[0]}/pino" }`,
    'libs/a/src/a.ts': `const at = '/${'home'}/ada/lethe';`,
  },
  finds: [/it names registry/, /path of one machine/],
};

/* ------------------------------------------------------------------ error codes */

const DECLARATION = /\b([A-Z][A-Z0-9_]*):\s*\{\s*code:\s*'(LETHE-\d+)'/g;

const codes: Rule = {
  name: 'error codes',
  check: (repository) => {
    const owners = new Map<string, string>();
    const findings: Finding[] = [];
    for (const path of declaringFiles(repository)) {
      const part = partOf(path);
      const range = RANGES[part];
      for (const [, reason, code = ''] of withoutComments(repository.text(path)).matchAll(DECLARATION)) {
        const number = Number(code.slice('LETHE-'.length));
        const here = `${reason} in ${path}`;
        const other = owners.get(code);
        if (other)
          findings.push({
            where: path,
            what: `${code} is ${other} and ${here}; give one of them a free code`,
          });
        owners.set(code, here);
        if (!range)
          findings.push({
            where: path,
            what: `${part} has no range; give it one in test/tools/errors-table.ts`,
          });
        else if (number < range[0] || number > range[1]) {
          findings.push({ where: path, what: `${code} is outside ${range.join('–')}, the range of ${part}` });
        }
      }
    }
    const mentions = repository.paths.filter(
      (path) => (isCode(path) && !isTest(path)) || path.endsWith('.md'),
    );
    for (const path of mentions) {
      if (path === 'CONTRIBUTING.md') continue;
      const mentioned = new Set(repository.text(path).match(/\bLETHE-\d{4}\b/g));
      for (const code of mentioned) {
        if (!owners.has(code))
          findings.push({ where: path, what: `it mentions ${code}, which nobody declares; correct it` });
      }
    }
    return findings;
  },
  broken: {
    'libs/merkle/src/errors.ts':
      "export const A = defineErrors({ ONE: { code: 'LETHE-1201' }, TWO: { code: 'LETHE-1201' }, OUT: { code: 'LETHE-9999' } });",
    'libs/unknown/src/errors.ts': "export const B = defineErrors({ THREE: { code: 'LETHE-7000' } });",
    'libs/merkle/src/log.ts': '/** @throws LETHE-1299 */',
  },
  finds: [
    /LETHE-1201 is ONE in .* and TWO/,
    /outside 1200–1299/,
    /libs\/unknown has no range/,
    /mentions LETHE-1299/,
  ],
};

/* ------------------------------------------------------------------ the tests */

const RULES: readonly Rule[] = [
  arrows,
  pure,
  dependencies,
  leftovers,
  types,
  skipped,
  unreferenced,
  pages,
  large,
  places,
  codes,
];

const repository = workingCopy();

for (const rule of RULES) {
  const allowed = EXCEPTIONS.filter(([name]) => name === rule.name).map(([, where]) => where);
  test(`${rule.name}: the repository keeps to it`, () => {
    const findings = rule.check(repository);
    const open = findings.filter(({ where }) => !allowed.includes(where));
    assert.equal(open.map(({ where, what }) => `${where}: ${what}`).join('\n'), '');
    const stale = allowed.filter((where) => findings.every((finding) => finding.where !== where));
    assert.deepEqual(stale, [], 'nothing needs these exceptions any more; take them off EXCEPTIONS');
  });

  test(`${rule.name}: a repository that breaks it is told so`, () => {
    const found = rule.check(madeUp(rule.broken)).map(({ where, what }) => `${where}: ${what}`);
    for (const pattern of rule.finds) assert.match(found.join('\n'), pattern);
    assert.equal(found.length, rule.finds.length, `more than was broken:\n${found.join('\n')}`);
  });
}

test('the table of error codes in the README is what the parts declare', async () => {
  const declared = await declaredErrors(repository);
  assert.equal(
    tableIn(repository.text(README)),
    errorsTable(declared),
    'run: node test/tools/errors-table.ts --write',
  );
  for (const { code, remedy } of declared) {
    assert.match(remedy, /[.)]$/, `the remedy of ${code} is a sentence that says what to do`);
  }
});

test('imports are read as Node reads them', () => {
  const source = `
    import a from 'one';
    import { b,
      c } from "two/sub";
    import type { D } from '@scope/three';
    export * from './four.ts';
    import 'five';
    // import x from 'six';
    /* export * from 'seven'; */
    const text = "import y from 'eight'";
    const f = await import('nine');
    type T = import('ten').T;
    createRequire(import.meta.url).resolve('eleven/data.json');
  `;
  assert.deepEqual(importsOf(source).toSorted(), [
    './four.ts',
    '@scope/three',
    'eleven/data.json',
    'five',
    'nine',
    'one',
    'ten',
    'two/sub',
  ]);
  assert.equal(packageOf('@scope/three/x'), '@scope/three');
  assert.equal(packageOf('two/sub'), 'two');
});
