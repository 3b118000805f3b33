import { defined } from '../../../base/defined.ts';
import { refusal } from '../../../base/error.ts';
import type { Policy, SignalRule, Site } from '../../fleet/site.ts';
import { SIGNAL_CODES, type SignalCode } from '../../recovery/signals.ts';
import type { Acting } from '../operation.ts';

type Named = { name: string };
type Given = { [K in Exclude<keyof Policy, 'signals'>]?: Policy[K] | undefined } & {
  signals?: { [code: string]: SignalRule | null } | undefined;
};

export const add = async (
  { name, policy }: Named & { policy: Given },
  { fleet, by }: Acting,
): Promise<Site> => fleet.sites.add(name, said(policy, {}), by);

/** @throws BootwaveError `SIGNAL_UNKNOWN`, and what `SiteStore.set` throws */
export async function set({ name, policy }: Named & { policy: Given }, { fleet, by }: Acting): Promise<Site> {
  const { signals } = policy.signals === undefined ? { signals: {} } : (await fleet.sites.get(name)).policy;
  return fleet.sites.set(name, said(policy, signals), by);
}

export const list = (_: object, { fleet }: Acting): Promise<Site[]> => fleet.sites.list();

export const show = ({ name }: Named, { fleet }: Acting): Promise<Site> => fleet.sites.get(name);

function said({ signals, ...others }: Given, before: Policy['signals']): Partial<Policy> {
  const given = defined(others) as Partial<Policy>;
  if (signals === undefined) return given;
  const unknown = Object.keys(signals).find((code) => !SIGNAL_CODES.includes(code as SignalCode));
  if (unknown !== undefined)
    throw refusal(
      'SIGNAL_UNKNOWN',
      `there is no signal '${unknown}'`,
      `'bootwave incident signals' shows all`,
    );
  const all = Object.entries({ ...before, ...signals }).filter(
    (one): one is [string, SignalRule] => one[1] !== null,
  );
  return { ...given, signals: Object.fromEntries(all) };
}
