/** Names that point at models of one dataset, as the fold of `model-alias/{dataset}`. */
import { EVENT } from '@lethe/contracts';
import { defineAggregate } from '@lethe/events';

export interface Alias {
  readonly model: string;
  readonly previousModel: string;
  readonly changedMs: number;
}

/** By the alias's resource name. */
export type Aliases = Readonly<Record<string, Alias>>;

export const modelAlias = defineAggregate({
  type: 'model-alias',
  events: [EVENT.modelPromoted],
  initial: (): Aliases => ({}),
  fold: (aliases, { data, timeMs }): Aliases => ({
    ...aliases,
    [data.alias]: {
      model: data.model,
      previousModel: aliases[data.alias]?.model ?? '',
      changedMs: timeMs,
    },
  }),
});

export type ModelAliasEvent = (typeof modelAlias.events)[number];
