/** The vault's part in an erasure, as the fold of its facts. Pure. */
import { EVENT, type events } from '@lethe/contracts';
import { defineAggregate } from '@lethe/events';

export interface VaultErasure {
  readonly contained: boolean;
  readonly plan: events.ArtefactRef | undefined;
  readonly done: boolean;
}

export const vaultErasure = defineAggregate({
  type: 'vault-erasure',
  events: [EVENT.vaultContained, EVENT.subjectErasurePlanned, EVENT.subjectKeyDestroyed],
  initial: (): VaultErasure => ({ contained: false, plan: undefined, done: false }),
  fold: (state, event): VaultErasure => {
    switch (event.type) {
      case 'vault.contained':
        return { ...state, contained: true };
      case 'subject.erasure.planned':
        return { ...state, plan: event.data.plan };
      case 'subject.key.destroyed':
        return { ...state, done: true };
    }
  },
});
