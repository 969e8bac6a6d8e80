import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import {
  type DescriptorProto,
  FieldDescriptorProto_Type,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';
import {
  ANONYMOUS,
  audit,
  DESCRIPTOR_SET,
  erasure,
  federation,
  hashing,
  learning,
  vault,
} from '@lethe/contracts';
import { isError } from '@lethe/std';
import { RPC } from './errors.ts';
import type { Identity } from './identity.ts';
import { checkTenant, RESOURCE_FIELDS } from './tenant.ts';

/** Texts of requests that name no resource, besides `*_id` and `*_ids`. A new field belongs here or into RESOURCE_FIELDS. */
const OTHER_TEXTS = [
  ...['code', 'featureSeed', 'message', 'modelDigest', 'pageToken', 'parties', 'party', 'policy', 'seed'],
  ...['statementDigest', 'subjectAliases'],
  ...['architecture', 'clipping', 'features', 'noiseMode', 'relation', 'unit'],
  ...['fields', 'modalities', 'modality'],
];

/** Every text field that a request can carry, at any depth, of every method that is checked: JSON name → messages. */
function requestTexts(): Map<string, { inOneof: boolean }> {
  const { file: files } = fromBinary(FileDescriptorSetSchema, readFileSync(DESCRIPTOR_SET));
  const messages = new Map<string, DescriptorProto>();
  const add = (prefix: string, message: DescriptorProto): void => {
    messages.set(`${prefix}.${message.name}`, message);
    for (const nested of message.nestedType) add(`${prefix}.${message.name}`, nested);
  };
  for (const file of files) for (const message of file.messageType) add(`.${file.package}`, message);
  const texts = new Map<string, { inOneof: boolean }>();
  const walk = (type: string, seen: Set<string>): void => {
    if (seen.has(type)) return;
    seen.add(type);
    for (const field of messages.get(type)!.field) {
      if (field.type === FieldDescriptorProto_Type.MESSAGE) walk(field.typeName, seen);
      if (field.type !== FieldDescriptorProto_Type.STRING) continue;
      const inOneof = Object.hasOwn(field, 'oneofIndex') && !field.proto3Optional;
      texts.set(field.jsonName, { inOneof: inOneof || texts.get(field.jsonName)?.inOneof === true });
    }
  };
  for (const file of files) {
    for (const service of file.service) {
      for (const method of service.method) {
        const path = `/${file.package}.${service.name}/${method.name}`;
        if (!ANONYMOUS.has(path)) walk(method.inputType, new Set());
      }
    }
  }
  return texts;
}

test('every text field of every request is classified: a resource name, or not', () => {
  const texts = requestTexts();
  for (const [field, { inOneof }] of texts) {
    const isId = /Ids?$/u.test(field);
    const classes = [RESOURCE_FIELDS.has(field), OTHER_TEXTS.includes(field), isId].filter(Boolean);
    assert.equal(classes.length, 1, `${field} is in ${classes.length} classes`);
    // ts-proto names such a value `value`, not as the field.
    assert.ok(!(inOneof && RESOURCE_FIELDS.has(field)), `${field} is a text directly in a oneof`);
  }
  for (const field of [...RESOURCE_FIELDS, ...OTHER_TEXTS]) assert.ok(texts.has(field), `${field} is gone`);
});

const acme: Identity = { id: 'someone', role: 'client', tenants: ['acme'] };
const denied = (error: unknown): boolean => isError(error, RPC.PERMISSION_DENIED);
const missing = (error: unknown): boolean => isError(error, RPC.TENANT_MISSING);
const HERE = 'tenants/acme';

test('ids that the caller chooses may read like names of resources of another tenant', () => {
  const subjectId = 'tenants/x/y';
  assert.equal(
    checkTenant(acme, vault.ResolveSubjectRequest.fromPartial({ parent: HERE, subjectId })),
    'acme',
  );
  const request = { parent: HERE, subjectId, requestId: 'tenants/x', policy: 'tenants/x' };
  assert.equal(checkTenant(acme, erasure.CreateErasureRequestRequest.fromPartial(request)), 'acme');
  const rows = { name: `${HERE}/federations/f`, recordIds: [subjectId] };
  assert.equal(checkTenant(acme, federation.PredictRequest.fromPartial(rows)), 'acme');
});

test('such an id is no resource: alone it gives no tenant, not even the own one', () => {
  for (const subjectId of ['tenants/acme/x', 'tenants/x/y']) {
    assert.throws(() => checkTenant(acme, vault.ResolveSubjectRequest.fromPartial({ subjectId })), missing);
    const record = { message: { $case: 'record' as const, value: { subjectId, recordId: subjectId } } };
    assert.throws(() => checkTenant(acme, vault.IngestRequest.fromPartial(record)), missing);
  }
});

test('a foreign resource in a nested field is refused', () => {
  const root = 'tenants/other/datasets/d/roots/1';
  const foreign = [
    federation.CreateFederationRequest.fromPartial({ parent: HERE, spec: { root } }),
    hashing.CreateHashFunctionRequest.fromPartial({ parent: HERE, spec: { root } }),
    hashing.CreateUpdateRequest.fromPartial({ name: `${HERE}/hashFunctions/h`, root }),
    learning.CreateTrainingRunRequest.fromPartial({ parent: HERE, spec: { root } }),
    learning.CreateTrainingRunRequest.fromPartial({
      parent: HERE,
      spec: {
        root: `${HERE}/datasets/d/roots/1`,
        method: { $case: 'shardedEnsemble', value: { audit: 'tenants/other/audits/a' } },
      },
    }),
    audit.CreateAuditRequest.fromPartial({ parent: HERE, spec: { dataset: 'tenants/other/datasets/d' } }),
    audit.CreateAuditRequest.fromPartial({ parent: HERE, spec: { model: 'tenants/other/models/m' } }),
    vault.IngestRequest.fromPartial({
      message: { $case: 'header', value: { dataset: 'tenants/other/datasets/d' } },
    }),
    federation.PartyMessage.fromPartial({
      message: { $case: 'hello', value: { federation: 'tenants/other/federations/f' } },
    }),
  ];
  for (const message of foreign) assert.throws(() => checkTenant(acme, message), denied);
  const everywhere: Identity = { ...acme, tenants: ['*'] };
  // Of two tenants, even for an identity that may act in both.
  assert.throws(() => checkTenant(everywhere, foreign[0]), denied);
  assert.equal(checkTenant(everywhere, foreign.at(-1)), 'other');
});
