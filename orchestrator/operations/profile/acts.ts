import { refusal } from '../../../base/error.ts';
import type { Expects, Profile } from '../../fleet/hardware/profile.ts';
import {
  listProfiles,
  type ProfileDecision,
  Profiles,
  profileOf,
  readProfile,
  removeProfile,
  setProfile,
} from '../../fleet/hardware/profiles.ts';
import type { NodeView } from '../../fleet/overview.ts';
import { isRegistered } from '../../fleet/transitions.ts';
import type { Acting } from '../operation.ts';

/** `nodes`: how many it is for; `short`: those of them that fall short, by name. */
export type Judged = ProfileDecision & { nodes: number; short: { name: string; flaws: string[] }[] };

type Which = { model: string; site?: string | undefined };
type Word = { policy: Profile['policy']; reason: string };

const within = ({ model, site = undefined }: Which) => ({ model, site: site ?? null });

export const list = async (_: object, { fleet }: Acting): Promise<Judged[]> =>
  judged(fleet, await listProfiles(fleet));

/** @throws BootwaveError `PROFILE_UNKNOWN` */
export const show = async (which: Which, { fleet }: Acting): Promise<Judged> =>
  (await judged(fleet, [await readProfile(fleet, within(which))]))[0]!;

/** @throws BootwaveError `PROFILE_NODE`, `SITE_UNKNOWN` */
export async function learn(
  { node, site, policy, reason }: Word & { node: string; site?: string | undefined },
  { fleet, by }: Acting,
): Promise<Judged> {
  const record = await fleet.nodes.resolve(node);
  if (!isRegistered(record.state))
    throw refusal(
      'PROFILE_NODE',
      `node ${record.name} is ${record.state}: nobody has let it in`,
      'learn from a member, or write the profile: bootwave profile set MODEL FILE --reason WHY',
    );
  const found = profileOf(record, await fleet.firmware.models());
  return write(fleet, { ...found, site, policy, reason: `as ${record.name}: ${reason}` }, by);
}

/** @throws BootwaveError `SITE_UNKNOWN` */
export const set = (wanted: Which & Word & { expects: Expects }, { fleet, by }: Acting): Promise<Judged> =>
  write(fleet, wanted, by);

export async function remove(
  { reason, ...which }: Which & { reason: string },
  { fleet, by }: Acting,
): Promise<ProfileDecision> {
  const known = await readProfile(fleet, within(which));
  await removeProfile(fleet, within(which), { ...by, reason });
  return known;
}

async function write(
  fleet: Acting['fleet'],
  { reason, policy, expects, ...which }: Which & Word & { expects: Expects },
  by: Acting['by'],
): Promise<Judged> {
  if (which.site !== undefined) await fleet.sites.get(which.site);
  const done = await setProfile(fleet, { ...within(which), policy, expects }, { ...by, reason });
  return (await judged(fleet, [done]))[0]!;
}

async function judged(fleet: Acting['fleet'], all: readonly ProfileDecision[]): Promise<Judged[]> {
  const [profiles, records] = await Promise.all([
    Profiles.read(fleet),
    fleet.nodes.getMany(await fleet.nodes.ids()),
  ]);
  const fits = records.flatMap((record) => {
    const fit = isRegistered(record.state) ? profiles.fit(record) : undefined;
    return fit === undefined ? [] : [{ name: record.name, ...fit }];
  });
  return all.map((one) => {
    const { model, site } = one.value;
    const its = fits.filter(({ profile }) => profile.model === model && profile.site === site);
    const short = its.filter(({ flaws }) => flaws.length > 0).map(({ name, flaws }) => ({ name, flaws }));
    return { ...one, nodes: its.length, short };
  });
}

/** With `shortfalls` where there are any: also of machines that wait for approval, so that a person sees them before. */
export async function withShortfalls(
  nodes: readonly NodeView[],
  fleet: Acting['fleet'],
): Promise<NodeView[]> {
  const profiles = await Profiles.read(fleet);
  return nodes.map((node) => {
    const { flaws = [] } = profiles.fit(node) ?? {};
    return flaws.length === 0 ? node : { ...node, shortfalls: flaws };
  });
}
