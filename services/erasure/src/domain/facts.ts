/**
 * What the others have said about one erasure, folded from their aggregates. Read only: this service never writes there, and
 * copies none of it into its own events.
 */
import { EVENT, type events } from '@lethe/contracts';
import { defineAggregate, type RecordedEvent } from '@lethe/events';
import { type Fact, fact } from './erasure.ts';

/** Owners of artefacts that are computed from records. */
export const OWNERS = ['hash', 'learning', 'federation'] as const;
export type OwnerName = (typeof OWNERS)[number];
/** Everyone whose `contained` is awaited. */
export const CONTAINERS = ['vault', ...OWNERS, 'audit'] as const;
export type Container = (typeof CONTAINERS)[number];

export interface OwnerPart {
  readonly contained?: Fact<events.OwnerContained>;
  readonly erased?: Fact<events.OwnerErased>;
}

export interface VaultPart {
  readonly contained?: Fact<events.OwnerContained>;
  readonly destroyed?: Fact<events.SubjectKeyDestroyed>;
}

export interface AuditPart {
  readonly contained?: Fact<events.OwnerContained>;
}

/** An audit as far as a certificate needs it. */
export interface AuditRecord {
  readonly registered?: Fact<events.AuditRegistered>;
  readonly completed?: Fact<events.AuditCompleted>;
}

export interface Facts {
  readonly vault: VaultPart;
  readonly owners: Readonly<Record<OwnerName, OwnerPart>>;
  readonly auditPart: AuditPart;
  /** The audit that released canaries into this erasure; empty without one. */
  readonly audit: AuditRecord;
}

const withContained = (part: OwnerPart, event: RecordedEvent<string, events.OwnerContained>): OwnerPart => ({
  ...part,
  contained: fact(event),
});
const withErased = (part: OwnerPart, event: RecordedEvent<string, events.OwnerErased>): OwnerPart => ({
  ...part,
  erased: fact(event),
});

export const hashPart = defineAggregate({
  type: 'hash-erasure',
  events: [EVENT.hashContained, EVENT.hashErased],
  initial: (): OwnerPart => ({}),
  fold: (part, event) =>
    event.type === 'hash.contained' ? withContained(part, event) : withErased(part, event),
});

export const learningPart = defineAggregate({
  type: 'learning-erasure',
  events: [EVENT.learningContained, EVENT.modelUnlearned],
  initial: (): OwnerPart => ({}),
  fold: (part, event) =>
    event.type === 'learning.contained' ? withContained(part, event) : withErased(part, event),
});

export const federationPart = defineAggregate({
  type: 'federation-erasure',
  events: [EVENT.federationContained, EVENT.federationErased],
  initial: (): OwnerPart => ({}),
  fold: (part, event) =>
    event.type === 'federation.contained' ? withContained(part, event) : withErased(part, event),
});

export const vaultPart = defineAggregate({
  type: 'vault-erasure',
  events: [EVENT.vaultContained, EVENT.subjectErasurePlanned, EVENT.subjectKeyDestroyed],
  initial: (): VaultPart => ({}),
  fold: (part, event): VaultPart => {
    switch (event.type) {
      case 'vault.contained':
        return { ...part, contained: fact(event) };
      case 'subject.erasure.planned':
        return part;
      case 'subject.key.destroyed':
        return { ...part, destroyed: fact(event) };
    }
  },
});

export const auditPart = defineAggregate({
  type: 'audit-erasure',
  events: [EVENT.auditContained],
  initial: (): AuditPart => ({}),
  fold: (_, event): AuditPart => ({ contained: fact(event) }),
});

/** The first `audit.completed` counts: a later one only adds that the audit's own copies have died. */
export const auditRecord = defineAggregate({
  type: 'audit',
  events: [EVENT.auditCreated, EVENT.auditRegistered, EVENT.auditCohortReleased, EVENT.auditCompleted],
  initial: (): AuditRecord => ({}),
  fold: (record, event): AuditRecord => {
    if (event.type === 'audit.registered') return { ...record, registered: fact(event) };
    if (event.type === 'audit.completed' && !record.completed) return { ...record, completed: fact(event) };
    return record;
  },
});
