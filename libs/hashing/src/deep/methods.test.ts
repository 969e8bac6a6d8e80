import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError } from '@lethe/std';
import { HASHING } from '../errors.ts';
import { METHODS, MISSING_METHODS, requireMethod } from './methods.ts';
import { LOSS_TERMS } from './terms.ts';

test('every loss term is on the table, every row has a source, and what is missing is refused by name', () => {
  for (const name of Object.keys(LOSS_TERMS)) assert.equal(requireMethod(name).kind, 'loss');
  for (const name of Object.keys(METHODS)) assert.ok(requireMethod(name).source.length > 20, name);
  for (const name of MISSING_METHODS) {
    assert.throws(
      () => requireMethod(name),
      (e) => isError(e, HASHING.METHOD_MISSING) && e.message.includes(name),
    );
  }
  for (const name of ['toString', 'adaboost']) {
    assert.throws(
      () => requireMethod(name),
      (e) => isError(e, HASHING.METHOD_MISSING),
    );
  }
});
