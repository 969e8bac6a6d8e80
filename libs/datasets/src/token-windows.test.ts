import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '@lethe/std';
import { splitWithinAuthors, type TokenWindows, tokenWindows } from './token-windows.ts';

const text = (windows: TokenWindows, at: number): string =>
  Buffer.from(windows.tokens.subarray(at * (windows.length + 1), (at + 1) * (windows.length + 1))).toString();

test('windows share one byte with their neighbours and a rest is dropped', () => {
  assert.equal(Buffer.from(tokenWindows(utf8('abcdefgh'), 3)).toString(), 'abcddefg');
  assert.equal(tokenWindows(utf8('abc'), 3).length, 0);
  assert.equal(tokenWindows(new Uint8Array(0), 3).length, 0);
  assert.deepEqual([...tokenWindows(utf8('é!'), 2)], [0xc3, 0xa9, 0x21]);
});

/** Numbered words: every piece of a text is found once. */
const long = (name: string, words: number): string =>
  Array.from({ length: words }, (_, i) => `${name}${String(i).padStart(5, '0')}`).join(' ');

test('every author has his share held out; no byte is on both sides; the split is always the same', () => {
  const texts = [
    { author: 'b', text: long('B', 2000) },
    { author: 'a', text: long('A', 900) },
    { author: 'b', text: long('C', 2000) },
    { author: 'c', text: long('D', 20) },
  ];
  const split = splitWithinAuthors(texts, 14, 0.25);
  assert.deepEqual(split.authors, ['a', 'b', 'c']);
  const count = ({ authors }: TokenWindows, author: number) => authors.filter((one) => one === author).length;
  // A block is 64 windows of 14 tokens and one byte more, 897 bytes: a has 8 blocks, b 16 + 16, c one; last ones are short.
  const within = (value: number, blocks: number) => value > (blocks - 2) * 64 && value <= blocks * 64;
  assert.ok(within(count(split.heldOut, 0), 2) && within(count(split.heldOut, 1), 8));
  assert.equal(count(split.heldOut, 2), 0);
  assert.equal(count(split.train, 2), Math.floor((20 * 7 - 2) / 14));
  // The numbered words that a window holds whole.
  const words = (part: TokenWindows) =>
    new Set(
      Array.from(
        { length: part.authors.length },
        (_, at) => text(part, at).match(/[A-D]\d{5}/g) ?? [],
      ).flat(),
    );
  const train = words(split.train);
  const held = words(split.heldOut);
  assert.ok(held.size > 500 && train.size > 2_000);
  assert.ok([...held].every((word) => !train.has(word)));
  assert.deepEqual(splitWithinAuthors(texts, 14, 0.25), split);
});
