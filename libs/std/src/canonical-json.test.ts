import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { utf8 } from './bytes.ts';
import { canonicalDigest, canonicalJson, parseCanonicalJson } from './canonical-json.ts';
import { isError, STD } from './error.ts';

const refused = (error: unknown) => isError(error, STD.NOT_CANONICAL);

test('RFC 8785 section 3.2.3: the sorting example, by UTF-16 code units', () => {
  const value = {
    '\u20ac': 'Euro Sign',
    '\r': 'Carriage Return',
    '\ufb33': 'Hebrew Letter Dalet With Dagesh',
    '1': 'One',
    '\ud83d\ude00': 'Emoji: Grinning Face',
    '\u0080': 'Control',
    '\u00f6': 'Latin Small Letter O With Diaeresis',
  };
  const order = [...canonicalJson(value).matchAll(/"(Euro|Carriage|Hebrew|One|Emoji|Control|Latin)/g)].map(
    (m) => m[1],
  );
  assert.deepEqual(order, ['Carriage', 'One', 'Control', 'Latin', 'Euro', 'Emoji', 'Hebrew']);
});

test('RFC 8785 section 3.2.2: primitive types', () => {
  const value = {
    numbers: [Number('333333333.33333329'), 1e30, 4.5, 2e-3, 0.000000000000000000000000001],
    string: '\u20ac$\u000f\u000aA\'\u0042\u0022\u005c\\"/',
    literals: [null, true, false],
  };
  assert.equal(
    canonicalJson(value),
    '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
      '"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
  );
  assert.equal(canonicalJson(-0), '0');
});

test('what has no JSON form is refused, not dropped', () => {
  const values = [
    undefined,
    { a: undefined },
    [Number.NaN],
    Infinity,
    1n,
    '\ud800',
    new Uint8Array(2),
    new Map(),
  ];
  for (const value of values) assert.throws(() => canonicalJson(value), refused);
  let deep: unknown = 1;
  for (let i = 0; i < 70; i++) deep = [deep];
  assert.throws(() => canonicalJson(deep), refused);
});

test('the reader takes the canonical bytes and no others', () => {
  const others = [
    '{"a":1,"a":1}',
    '{"b":1,"a":1}',
    '{ "a":1}',
    '{"a":1}\n',
    '{"a":1.0}',
    '{"a":1e400}',
    '9007199254740993',
    '"\\u0041"',
    '-0',
    '\ufeff1',
    '',
    '{"a":',
  ];
  for (const text of others) assert.throws(() => parseCanonicalJson(utf8(text)), refused, text);
  assert.throws(() => parseCanonicalJson(new Uint8Array([0x22, 0xff, 0x22])), refused);
  assert.throws(() => parseCanonicalJson(utf8('['.repeat(100_000) + ']'.repeat(100_000))), refused);
  assert.deepEqual(parseCanonicalJson(utf8('{"a":[1,"x"]}')), { a: [1, 'x'] });
});

test('what is written is read back, whatever the order of its members', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = canonicalJson(value);
      assert.equal(canonicalJson(parseCanonicalJson(utf8(text))), text);
    }),
  );
  assert.equal(canonicalDigest({ a: 1, b: 2 }), canonicalDigest({ b: 2, a: 1 }));
});
