import { refusal } from '../../../base/error.ts';
import { webhookKeyIn } from '../../../protocol/webhook.ts';
import { checkName } from '../../fleet/names.ts';
import { type Source, WEBHOOKS } from '../../recovery/webhooks.ts';
import type { Acting } from '../operation.ts';

export type WebhookShown = Source & { name: string; by: string; at: number; reason: string };

/** @throws BootwaveError `WEBHOOK_KEY`, `WEBHOOK_KEY_USED`, `SITE_UNKNOWN`, and of `checkName` */
export async function add(
  {
    name,
    publicKey,
    reason,
    ...rights
  }: { name: string; publicKey: string; reason: string } & Omit<Source, 'key'>,
  { fleet, by }: Acting,
): Promise<WebhookShown> {
  checkName(name, 'webhook');
  const key = webhookKeyIn(publicKey);
  if (key === null)
    throw refusal(
      'WEBHOOK_KEY',
      'that is no public key of Ed25519',
      'openssl genpkey -algorithm ed25519 -out ids.pem; openssl pkey -in ids.pem -pubout -out ids.pub',
    );
  const other = (await WEBHOOKS.list(fleet)).find((one) => one.value.key === key && one.name !== name);
  if (other !== undefined)
    throw refusal(
      'WEBHOOK_KEY_USED',
      `webhook ${other.name} has this key already: what it says would be taken for two systems`,
      'make a key of its own for each',
    );
  const sites = [...new Set(rights.sites)];
  for (const site of sites) await fleet.sites.get(site);
  const value = { key, severity: rights.severity, sites, says: [...new Set(rights.says)] };
  await WEBHOOKS.decide(fleet, name, () => value, { ...by, reason });
  return { name, by: by.actor, at: by.at, reason, ...value };
}

export const list = async (_: object, { fleet }: Acting): Promise<WebhookShown[]> =>
  (await WEBHOOKS.list(fleet)).map(({ name, by, at, reason, value }) => ({ name, by, at, reason, ...value }));

/** @throws BootwaveError `WEBHOOK_UNKNOWN` */
export async function remove(
  { name, reason }: { name: string; reason: string },
  { fleet, by }: Acting,
): Promise<{ name: string }> {
  const { changed } = await WEBHOOKS.decide(fleet, name, () => null, { ...by, reason });
  if (changed) return { name };
  throw refusal('WEBHOOK_UNKNOWN', `there is no webhook ${name}`, "'bootwave webhook list' shows all");
}
