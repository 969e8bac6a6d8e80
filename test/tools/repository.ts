/** The repository as text: every file that is or would be committed, its imports and its packages. What tidy and the error table read. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface Repository {
  /** Path from the root, with `/`. */
  readonly paths: readonly string[];
  /** Bytes as UTF-8 text. */
  text(path: string): string;
  bytes(path: string): number;
}

export interface Manifest {
  readonly name: string;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly bin?: Readonly<Record<string, string>>;
  readonly exports?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

/** Files that git knows or would add; what it ignores is not ours. */
export function workingCopy(): Repository {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  const paths = [...new Set(listed.split('\0'))]
    .filter((path) => path !== '' && existsSync(join(ROOT, path)))
    .sort();
  return {
    paths,
    text: (path) => readFileSync(join(ROOT, path), 'utf8'),
    bytes: (path) => statSync(join(ROOT, path)).size,
  };
}

/** A repository that exists only here: for proofs that a check finds what it is for. */
export function madeUp(files: Readonly<Record<string, string>>): Repository {
  return {
    paths: Object.keys(files).sort(),
    text: (path) => files[path] ?? '',
    bytes: (path) => (files[path] ?? '').length,
  };
}

const STRING_OR_COMMENT =
  /("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|\/\/[^\n]*|\/\*[\s\S]*?\*\//g;

/** TypeScript without its comments; lines keep their numbers. */
export function withoutComments(source: string): string {
  return source.replace(STRING_OR_COMMENT, (found, text: string | undefined) =>
    text === undefined ? found.replaceAll(/[^\n]/g, ' ') : text,
  );
}

/** The same without the contents of its strings too. */
export function withoutText(source: string): string {
  return source.replace(STRING_OR_COMMENT, (found) => found.replaceAll(/[^\n]/g, ' '));
}

const SPECIFIERS = [
  /^\s*(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]/gm,
  /^\s*import\s*['"]([^'"]+)['"]/gm,
  /\bimport\s*\(\s*['"]([^'"]+)['"]/g,
  // What is loaded as a file of another package: createRequire(…).resolve('mnist/…'), import.meta.resolve('…').
  /\bresolve\(\s*['"`]((?:@[\w-]+\/)?[\w-][\w.-]*\/[^'"`$]*)/g,
];

/** What a file imports, in any way that names it: values, types, dynamically, or resolved as a file. */
export function importsOf(source: string): string[] {
  const code = withoutComments(source);
  const words = withoutText(source);
  const found = SPECIFIERS.flatMap((pattern) => [...code.matchAll(pattern)])
    // An import that stands in a string is a program's text, not this file's.
    .filter((match) => words[match.index + match[0].search(/\S/)] !== ' ')
    .map((match) => match[1] ?? '');
  return [...new Set(found)];
}

/** `@scope/name/sub` → `@scope/name`; undefined for a relative path or a module of Node. */
export function packageOf(specifier: string): string | undefined {
  if (specifier.startsWith('.') || specifier.startsWith('node:')) return undefined;
  const parts = specifier.split('/');
  return parts.slice(0, specifier.startsWith('@') ? 2 : 1).join('/');
}

/** The package that a file belongs to: `libs/std`, `services/vault`, `test`; '' for files of the root. */
export function partOf(path: string): string {
  return /^(libs\/[^/]+|services\/[^/]+|test)\//.exec(path)?.[1] ?? '';
}

export const isCode = (path: string): boolean =>
  /\.(ts|mjs)$/.test(path) && !path.startsWith('libs/contracts/gen/');

/** Code that only runs to check or measure: it may import what the part itself may not. */
export const isTest = (path: string): boolean =>
  /(\.|\/)(test|bench|sim|fixture)\.ts$/.test(path) || /\/fixtures\//.test(path) || path.startsWith('test/');

/** A relative import as a path from the root. */
export const resolvePath = (from: string, specifier: string): string => join(dirname(from), specifier);
