import { EVENT } from '@lethe/contracts';
import { type Bus, decodeEvent, readEnvelope } from '@lethe/events';
import { Directory } from '@lethe/service';

/** What the directory says about one erasure. */
export interface ListedErasure {
  readonly alias: string;
  readonly ended: boolean;
  /** Ended before anything was erased: the person may be requested again. */
  readonly failed: boolean;
}

const ENDINGS: ReadonlySet<string> = new Set([
  EVENT.erasureCertified.type,
  EVENT.erasurePartial.type,
  EVENT.erasureFailed.type,
]);

export type Erasures = Directory<ListedErasure>;

/** Which erasures there are. */
export const erasuresOf = (bus: Bus): Erasures =>
  new Directory<ListedErasure>(bus, 'erasure', (before, message) => {
    const { type } = readEnvelope(message);
    return before
      ? {
          ...before,
          ended: before.ended || ENDINGS.has(type),
          failed: before.failed || type === EVENT.erasureFailed.type,
        }
      : {
          alias: decodeEvent(EVENT.erasureRequested, message).data.subjectAlias,
          ended: false,
          failed: false,
        };
  });
