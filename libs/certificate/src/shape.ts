/**
 * A few lines of schema: a `Shape<T>` says where a parsed JSON value departs from T. Unknown members are refused, because what was
 * not read cannot be called verified.
 */
export interface Shape<T> {
  /** Path and reason of the first departure, or undefined. `path` is like `claims[3].digestBefore`. */
  (value: unknown, path: string): string | undefined;
  /** Only for the type checker: ties the shape to the interface it stands for. */
  readonly of?: T;
}

const where = (path: string, what: string): string => `${path === '' ? 'the file' : path} ${what}`;

export const text =
  (pattern: RegExp = /^\P{Cc}+$/u, what = 'must be a non-empty text'): Shape<string> =>
  (value, path) =>
    typeof value === 'string' && pattern.test(value) ? undefined : where(path, what);

export const number =
  (isValid: (value: number) => boolean, what: string): Shape<number> =>
  (value, path) =>
    typeof value === 'number' && isValid(value) ? undefined : where(path, what);

export const one =
  <const T extends string | number>(...values: readonly T[]): Shape<T> =>
  (value, path) =>
    values.some((v) => v === value) ? undefined : where(path, `must be ${values.join(' or ')}`);

export const nullable =
  <T>(shape: Shape<T>): Shape<T | null> =>
  (value, path) =>
    value === null ? undefined : shape(value, path);

export const list =
  <T>(shape: Shape<T>, least = 0): Shape<readonly T[]> =>
  (value, path) => {
    if (!Array.isArray(value)) return where(path, 'must be a list');
    if (value.length < least) return where(path, `must have at least ${least} entry`);
    for (let i = 0; i < value.length; i++) {
      const wrong = shape(value[i], `${path}[${i}]`);
      if (wrong) return wrong;
    }
    return undefined;
  };

export const pair =
  <T>(shape: Shape<T>): Shape<readonly [T, T]> =>
  (value, path) =>
    Array.isArray(value) && value.length === 2 ? list(shape)(value, path) : where(path, 'must be a pair');

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const record =
  <T extends object>(shapes: { readonly [K in keyof T]-?: Shape<T[K]> }): Shape<T> =>
  (value, path) => {
    if (!isRecord(value)) return where(path, 'must be an object');
    for (const key of Object.keys(value)) {
      if (!Object.hasOwn(shapes, key))
        return where(path, `has a member "${key}" that version 1 does not know`);
    }
    for (const key of Object.keys(shapes) as (keyof T & string)[]) {
      const at = path === '' ? key : `${path}.${key}`;
      if (!Object.hasOwn(value, key)) return where(at, 'is missing');
      const wrong = shapes[key](value[key], at);
      if (wrong) return wrong;
    }
    return undefined;
  };

export const map =
  <T>(shape: Shape<T>): Shape<Readonly<Record<string, T>>> =>
  (value, path) => {
    if (!isRecord(value)) return where(path, 'must be an object');
    for (const [key, entry] of Object.entries(value)) {
      const wrong = shape(entry, `${path}.${key}`);
      if (wrong) return wrong;
    }
    return undefined;
  };

/** The first shape whose `type` member fits. */
export const tagged =
  <T extends { readonly type: string }>(
    shapes: {
      readonly [K in T['type']]: Shape<Extract<T, { readonly type: K }>>;
    },
  ): Shape<T> =>
  (value, path) => {
    const type = isRecord(value) ? value.type : undefined;
    if (typeof type !== 'string' || !Object.hasOwn(shapes, type)) {
      return where(path, `has a type that version 1 does not know`);
    }
    return (shapes as Readonly<Record<string, Shape<unknown>>>)[type]!(value, path);
  };
