/** Keys of published configurations in Redis, in the same slot as the fleet's (fleet/keys.ts). */
const at = (...parts: string[]) => ['{bootwave}', ...parts].join(':');

export const CONFIG_KEYS = {
  /** Set of versions. */
  all: at('configs'),
  /** Hash with state, epoch and body, as every record; never changes. */
  config: (version: string) => at('config', version),
} as const;
