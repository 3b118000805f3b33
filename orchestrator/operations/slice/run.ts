/** What an owner has run in their slice. */
import { refusal } from '../../../base/error.ts';
import {
  bundleOf,
  FLEET,
  fullServiceVersion,
  inSlice,
  ownerOf,
  type ServiceVersion,
  shownServiceVersion,
} from '../../../protocol/service/name.ts';
import type { Share, Slice } from '../../fleet/decisions/slices.ts';
import { endOrphans } from '../../rollout/run/slices/keep.ts';
import { groundNow } from '../../rollout/run/slices/placed.ts';
import { bring, mustBePlannable } from '../../rollout/run/slices/work.ts';
import { aliveOne, decideSlice, openSlice, wordOf } from '../../slices/store.ts';
import type { Acting } from '../operation.ts';
import { personOf } from '../rollout/acts.ts';
import { serviceIn } from '../service/named.ts';
import { type ShownSlice, show } from './acts.ts';
import { mustLeaveFrozen } from './frozen.ts';

type Running = {
  name: string;
  services: readonly string[];
  template?: string | undefined;
  reason?: string | undefined;
};

/**
 * These and nothing else run on each of its nodes from now on; none: what runs there ends. The rollout of it is refused before
 * anything is decided.
 * @throws BootwaveError `SLICE_UNKNOWN`, `SLICE_ENDED`, `SLICE_EXPIRED`, `SLICE_OWNER`, `SLICE_SHARE`, `SLICE_PORTS`, `SERVICE_NAME`,
 * `SERVICE_UNKNOWN`, `TEMPLATE_UNKNOWN`, `ROLLOUT_REFUSED`, `SLICE_FROZEN`
 */
export async function run(
  { name, services: texts, template, reason = '' }: Running,
  acting: Acting,
): Promise<ShownSlice> {
  const { fleet, paths, by, log } = acting;
  const slice = await openSlice(fleet, name, by.at);
  const asked = texts.map(serviceIn);
  const ground = await groundNow(fleet, paths, by.at);
  mustBeTheirs(slice, asked);
  mustFit(slice, asked, ground.facts.takes);
  const instances = asked.map((one) => ({ name: inSlice(one.name, name), version: one.version }));
  const services = instances.map(fullServiceVersion).sort();
  const names = instances.map((one) => one.name);
  await mustLeaveFrozen(slice, names, acting);
  const edge = { redis: fleet.redis, fleet, paths };
  const next: Slice = { ...slice, services, template: template ?? null, said: slice.epoch + 1 };
  await mustBePlannable(edge, next, ground, by.at);
  const person = await personOf(acting);
  const what = services.length === 0 ? 'runs nothing' : `runs ${asked.map(shownServiceVersion).join(', ')}`;
  const decided = await decideSlice(fleet, name, { ...by, person }, what, (known) => ({
    ...wordOf(aliveOne(known, name, by.at)),
    ...{ services, template: template ?? null, says: true, reason },
  }));
  // What is under way for the word before ends, and this begins, without waiting for the next look.
  await endOrphans(edge, log, by.at);
  await bring(edge, decided.slice, ground, by.at);
  return show({ name }, acting);
}

function mustBeTheirs({ name, teams }: Slice, asked: readonly ServiceVersion[]): void {
  for (const one of asked) {
    const owner = ownerOf(one.name);
    if (owner === FLEET || teams.includes(owner)) continue;
    throw refusal(
      'SLICE_OWNER',
      `slice '${name}' may run services of ${[FLEET, ...teams].join(', ')}; ${shownServiceVersion(one)} is of ${owner}`,
      "the core team says whose services a slice may run ('bootwave slice create --team')",
    );
  }
  const twice = asked.find((one, i) => asked.findIndex((other) => other.name === one.name) < i);
  if (twice !== undefined)
    throw refusal('SERVICE_NAME', `${twice.name} is named twice: a slice runs one version of it`);
}

/** What all of them may take together is what the slice has of a node, at the most. */
function mustFit(
  { name, share }: Slice,
  asked: readonly ServiceVersion[],
  takes: Readonly<Record<string, Share>>,
): void {
  const all = { cpu: 0, memory: 0, disk: 0 };
  for (const one of asked) {
    const taken = takes[fullServiceVersion(bundleOf(one))];
    if (taken === undefined)
      throw refusal(
        'SERVICE_UNKNOWN',
        `${shownServiceVersion(one)} is not released`,
        'the core team and the teams of the slice know which versions are (bootwave service list)',
      );
    for (const part of ['cpu', 'memory', 'disk'] as const) all[part] += taken[part];
    const port = taken.ports.find((one) => !share.ports.includes(one));
    if (port !== undefined)
      throw refusal(
        'SLICE_PORTS',
        `${shownServiceVersion(one)} wants port ${port}, and slice '${name}' has ${share.ports.join(', ') || 'none'}`,
        'publish a version with another port, or ask the core team for a slice that has it',
      );
  }
  for (const part of ['cpu', 'memory', 'disk'] as const)
    if (all[part] > share[part])
      throw refusal(
        'SLICE_SHARE',
        `these may take ${all[part]}${part === 'cpu' ? ' %' : ' bytes'} of ${part} together, and slice '${name}' has ${share[part]} of each node`,
        'run less, or publish versions with lower limits',
      );
}
