/** Whether somebody has decided that a node gets a configuration. Pure. */
import type { Order } from '../../protocol/order.ts';
import type { Decided } from './decisions.ts';
import type { Signed } from './ledger.ts';
import { unsigned } from './unsigned.ts';

export type Configured = NonNullable<Signed['configured']>;

/**
 * What the node was given before this order; null: it was signed before that was kept.
 * @param shown what another server of the fleet has signed for this node, or this one before that was kept
 */
export function configuredOf(
  last: Signed | null,
  shown: { order: Order; digest: string } | null,
): Configured | null {
  if (shown !== null && shown.order.epoch > (last?.epoch ?? 0)) {
    const { config: now } = shown.order;
    // The other one has changed something else.
    return last?.configured?.now === now ? last.configured : { now };
  }
  if (last === null) return { now: null };
  if (last.configured !== undefined) return last.configured;
  return shown?.digest === last.digest ? { now: shown.order.config } : null;
}

export type ConfigGrounds = {
  configured: Configured | null;
  decided: Pick<Decided, 'rollouts' | 'places'>;
  /** Versions of what people have published, by digest. */
  configs: ReadonlyMap<string, string>;
};

/**
 * @returns what the ledger keeps of it
 * @throws BootwaveError `SIGNER_CONFIG_UNDECIDED`
 */
export function checkConfig(
  { node, config }: Pick<Order, 'node' | 'config'>,
  { configured, decided: { rollouts, places }, configs }: ConfigGrounds,
): Configured {
  if (configured !== null && config === configured.now) return configured;
  const versionOf = (digest: string | null) => (digest === null ? null : (configs.get(digest) ?? null));
  const of = { id: node, place: places.get(node)?.place ?? undefined };
  const by = rollouts.configuring(versionOf(config), of);
  const { begun, before } = rollouts.configs;
  if (by.length > 0 || !begun)
    return { now: config, ...(configured === null ? {} : { back: configured.now, by }) };
  if (configured === null) {
    if (config === null || before.has(config)) return { now: config };
  } else {
    const on = rollouts.configuring(versionOf(configured.now));
    const isBack =
      configured.back === undefined
        ? on.some((id) => config === null || rollouts.of(id)?.from.includes(versionOf(config) ?? '') === true)
        : config === configured.back && configured.by?.some((id) => on.includes(id)) === true;
    // From there is no further way back.
    if (isBack) return { now: config, back: config, by: [] };
  }
  const which = config === null ? 'no configuration' : `configuration ${versionOf(config) ?? config}`;
  throw unsigned(
    'SIGNER_CONFIG_UNDECIDED',
    `nobody has decided that ${node} gets ${which}: no rollout that is under way brings it there, and it is not what it had`,
    'start a rollout of that configuration; otherwise find out who wrote that into the database',
  );
}
