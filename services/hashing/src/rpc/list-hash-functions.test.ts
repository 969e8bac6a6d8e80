import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { hashing } from '@lethe/contracts';
import { isError } from '@lethe/std';
import { HASHING_SERVICE } from '../errors.ts';
import { closeAll, FUNCTION_SPEC, makeRecords, TENANT, World } from '../fixture.ts';
import { createHashFunction } from './create-hash-function.ts';
import { listHashFunctions } from './list-hash-functions.ts';

afterEach(closeAll);

const parent = `tenants/${TENANT}`;

test('functions of the tenant come oldest first, page by page, and those of another tenant not at all', async () => {
  const world = await World.with(...makeRecords('a', 2, [0, 1]));
  const context = world.context();
  for (const functionId of ['one', 'two', 'three']) {
    await createHashFunction(context, { parent, functionId, spec: FUNCTION_SPEC, requestId: '' });
  }
  const page = async (asked: Partial<hashing.ListHashFunctionsRequest>) => {
    const request = hashing.ListHashFunctionsRequest.fromPartial({ parent, ...asked });
    const { hashFunctions = [], nextPageToken = '' } = await listHashFunctions(context, request);
    return { names: hashFunctions.map(({ name }) => name?.split('/').at(-1)), nextPageToken };
  };
  const first = await page({ pageSize: 2 });
  assert.deepEqual(first.names, ['one', 'two']);
  assert.deepEqual(await page({ pageSize: 2, pageToken: first.nextPageToken }), {
    names: ['three'],
    nextPageToken: '',
  });
  assert.deepEqual((await page({})).names, ['one', 'two', 'three']);
  assert.deepEqual((await page({ parent: 'tenants/other' })).names, []);
  for (const wrong of [{ pageSize: 101 }, { pageSize: -1 }, { pageToken: 'x' }]) {
    await assert.rejects(page(wrong), (error) => isError(error, HASHING_SERVICE.REQUEST_INVALID));
  }
});
