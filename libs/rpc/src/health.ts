/** The standard health service: one status per service name and one, under '', for the whole server. */
import { health } from '@lethe/contracts';
import type { Handlers } from './service.ts';

const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = health.HealthCheckResponse_ServingStatus;

export interface HealthBoard {
  readonly handlers: Handlers<typeof health.HealthDefinition>;
  set(service: string, serving: boolean): void;
  setAll(serving: boolean): void;
}

export function healthHandlers(services: readonly string[]): HealthBoard {
  const states = new Map<string, boolean>([
    ['', true],
    ...services.map((name): [string, boolean] => [name, true]),
  ]);
  const watchers = new Set<() => void>();
  const answer = (service: string) => {
    const serving = states.get(service);
    return { status: serving === undefined ? SERVICE_UNKNOWN : serving ? SERVING : NOT_SERVING };
  };
  const notify = (): void => {
    for (const wake of watchers) wake();
  };
  return {
    handlers: {
      check: async ({ service }) => answer(service),
      async *watch({ service }, { signal }) {
        let wake: () => void = () => {};
        const notice = (): void => wake();
        watchers.add(notice);
        signal.addEventListener('abort', notice);
        try {
          let last: number | undefined;
          while (!signal.aborted) {
            const changed = new Promise<void>((done) => {
              wake = done;
            });
            const now = answer(service);
            if (now.status !== last) yield now;
            last = now.status;
            await changed;
          }
        } finally {
          watchers.delete(notice);
        }
      },
    },
    set(service, serving) {
      states.set(service, serving);
      notify();
    },
    setAll(serving) {
      for (const name of states.keys()) states.set(name, serving);
      notify();
    },
  };
}
