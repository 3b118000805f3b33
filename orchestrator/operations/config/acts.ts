import { refusal } from '../../../base/error.ts';
import { digestOf, makeDocument } from '../../../protocol/configuration/document.ts';
import { contentOf, listConfigs, publishConfig, readConfig } from '../../config/store.ts';
import type { By } from '../../fleet/acting.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import { listRollouts } from '../../rollout/run/list.ts';
import { operate } from '../../rollout/run/operate.ts';
import { Consents, recordConsent } from '../../signer/consents.ts';
import { signerFiles } from '../../signer/files.ts';
import type { Acting } from '../operation.ts';

export async function publish(
  { text, version }: { text: string; version: string },
  { fleet, by, paths }: Acting,
) {
  const { consents } = signerFiles(paths);
  const { configs } = await new Consents(consents).current();
  const known = [...configs].flatMap(([digest, of]) => (of === version ? [digest] : []));
  const published = await publishConfig(fleet.redis, text, version, by, known);
  // SHA-256 of the document that was handed in: a database's answer proves nothing.
  const sha256 = digestOf(makeDocument(JSON.parse(text), version));
  await recordConsent(consents, { say: 'config', sha256, version }, by);
  return published;
}

export async function list(_: object, { fleet, paths }: Acting) {
  const { withdrawnConfigs } = await new Consents(signerFiles(paths).consents).current();
  const all = await listConfigs(fleet.redis);
  return all.map((one) => ({ ...one, withdrawn: withdrawnConfigs.get(one.version) ?? null }));
}

export async function show({ version }: { version: string }, { fleet }: Acting) {
  const one = await readConfig(fleet.redis, version);
  return { ...one, document: contentOf(one) };
}

/** The file of consents is what the signer and the plans go by: nobody who has only Redis takes it back. */
export async function withdraw(
  { version, reason }: { version: string; reason: string },
  { fleet, by, paths }: Acting,
) {
  const { consents } = signerFiles(paths);
  const { configs, withdrawnConfigs } = await new Consents(consents).current();
  // One that only this machine knows, because the database has lost it, can be withdrawn as well.
  if (![...configs.values()].includes(version)) await readConfig(fleet.redis, version);
  if (withdrawnConfigs.has(version)) return { version, changed: false, paused: [] };
  await recordConsent(consents, { say: 'withdraw-config', version, reason }, by);
  // Nodes that have the document already would still put it into force.
  const paused = await pauseThose(fleet, version, `configuration ${version} is withdrawn: ${reason}`, by);
  await fleet.audit.append({
    ...by,
    action: 'withdraw-config',
    reason: `configuration ${version}: ${reason}`,
  });
  return { version, changed: true, paused };
}

/** @returns the ids of rollouts that bring it to nodes, and now wait for a person */
async function pauseThose({ redis }: Fleet, version: string, why: string, by: By): Promise<string[]> {
  const paused: string[] = [];
  for (const { id, of, state, version: target } of await listRollouts(redis)) {
    if (of !== 'config' || target !== version || state !== 'running') continue;
    await operate(redis, id, { type: 'pause', by: by.actor, why });
    paused.push(id);
  }
  return paused;
}

/** @throws BootwaveError `CONFIG_NOT_WITHDRAWN` */
export async function reinstate({ version }: { version: string }, { fleet, by, paths }: Acting) {
  const { consents } = signerFiles(paths);
  const why = (await new Consents(consents).current()).withdrawnConfigs.get(version);
  if (why === undefined)
    throw refusal(
      'CONFIG_NOT_WITHDRAWN',
      `configuration ${version} is not withdrawn`,
      "'bootwave config list' shows those that are",
    );
  await recordConsent(consents, { say: 'reinstate-config', version }, by);
  await fleet.audit.append({ ...by, action: 'reinstate-config', reason: `configuration ${version}` });
  return { version, why };
}
