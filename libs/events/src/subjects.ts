import { sha256 } from '@lethe/std';
import { EVENTS } from './errors.ts';

/**
 * Subjects of the platform.
 *
 *     lethe.v1.<tenant>.<aggregate type>.<partition>.<aggregate id>   facts: all events of one aggregate on one subject
 *     lethe.records.v1.<tenant>.<dataset>.<alias>                     sealed records: one subject per data subject
 *     lethe.artefacts.v1.<tenant>.<digest>                            chunks of content-addressed objects
 *     lethe.dead.v1.<consumer>                                        dead letters
 *     lethe.replay.v1.<consumer>                                      requests to handle a dead letter again
 */
export const STREAMS = {
  events: 'LETHE_EVENTS',
  records: 'LETHE_RECORDS',
  artefacts: 'LETHE_ARTEFACTS',
  deadLetters: 'LETHE_DEAD_LETTERS',
} as const;

/** Spread of aggregates over consumers. Fixed for ever: it is part of the subject of every stored event. */
export const PARTITIONS = 16;

const TOKEN = /^[A-Za-z0-9_-]{1,128}$/;

/** @returns the token @throws LetheError LETHE-2001 it could change the meaning of the subject around it */
export function subjectToken(name: string, token: string): string {
  if (!TOKEN.test(token)) {
    throw EVENTS.BAD_SUBJECT_TOKEN(`${name} is not usable in a subject`, {
      details: { field: name, length: token.length },
    });
  }
  return token;
}

/** First four bytes of SHA-256 of the id, big endian, mod 16. */
export function partitionOf(aggregateId: string): number {
  const digest = sha256(aggregateId);
  return new DataView(digest.buffer).getUint32(0) % PARTITIONS;
}

export interface AggregateAddress {
  readonly tenant: string;
  readonly type: string;
  readonly id: string;
}

export function aggregateSubject(address: AggregateAddress): string {
  const tenant = subjectToken('tenant', address.tenant);
  const type = subjectToken('aggregate type', address.type);
  const id = subjectToken('aggregate id', address.id);
  return `lethe.v1.${tenant}.${type}.${partitionOf(id)}.${id}`;
}

/** The address an event's subject names; `undefined` for another kind of subject. */
export function parseAggregateSubject(subject: string): AggregateAddress | undefined {
  const [root, version, tenant, type, partition, id, ...rest] = subject.split('.');
  if (root !== 'lethe' || version !== 'v1' || !tenant || !type || !id || rest.length > 0) return undefined;
  return Number(partition) === partitionOf(id) ? { tenant, type, id } : undefined;
}

/** Filter over the aggregates of one type; of one tenant or partition where given. */
export function aggregateFilter(filter: {
  readonly type?: string;
  readonly tenant?: string;
  readonly partition?: number;
}): string {
  const tenant = filter.tenant === undefined ? '*' : subjectToken('tenant', filter.tenant);
  const type = filter.type === undefined ? '*' : subjectToken('aggregate type', filter.type);
  return `lethe.v1.${tenant}.${type}.${filter.partition ?? '*'}.*`;
}

/** Where the sealed records of one data subject lie. @param alias a keyed pseudonym, never the id */
export function recordSubject(tenant: string, dataset: string, alias: string): string {
  return `lethe.records.v1.${subjectToken('tenant', tenant)}.${subjectToken('dataset', dataset)}.${subjectToken('alias', alias)}`;
}

/** Filter over all records of a dataset. */
export function datasetRecords(tenant: string, dataset: string): string {
  return `lethe.records.v1.${subjectToken('tenant', tenant)}.${subjectToken('dataset', dataset)}.*`;
}

export const deadLetterSubject = (consumer: string): string =>
  `lethe.dead.v1.${subjectToken('consumer', consumer)}`;
export const replaySubject = (consumer: string): string =>
  `lethe.replay.v1.${subjectToken('consumer', consumer)}`;
export const objectSubject = (tenant: string, digest: string): string =>
  `lethe.artefacts.v1.${subjectToken('tenant', tenant)}.${subjectToken('digest', digest)}`;

/** NATS matching: `*` one token, `>` one or more to the end. */
export function subjectMatches(filter: string, subject: string): boolean {
  const wanted = filter.split('.');
  const tokens = subject.split('.');
  for (const [i, token] of wanted.entries()) {
    if (token === '>') return tokens.length > i;
    if (i >= tokens.length || (token !== '*' && token !== tokens[i])) return false;
  }
  return wanted.length === tokens.length;
}
