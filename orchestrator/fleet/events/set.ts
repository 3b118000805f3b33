import { type Outcome, refuse, take } from '../outcome.ts';
import { MOST_LABELS, type NodeRecord } from '../record.ts';
import type { Operator } from './operate.ts';

/** What a person wants of a node or states about it. Absent fields stay; null removes a value. */
export type NodeChange = {
  mode?: NodeRecord['wanted']['mode'] | undefined;
  /** Data that somebody else left on its disk may go, for one installation. */
  wipe?: true | undefined;
  rack?: string | null | undefined;
  role?: string | null | undefined;
  /** The node is now at another site, which has to exist. */
  site?: string | undefined;
  labels?: Readonly<Record<string, string | null>> | undefined;
};

/** Changes only the wish: installation, rollout or boot server act on it when it is their turn. */
export function setNode(record: NodeRecord, by: Operator & { change: NodeChange }): Outcome {
  const { change } = by;
  if (record.state === 'retired' || record.state === 'rejected') {
    return refuse('NODE_NOT_MEMBER', `node ${record.name} is ${record.state}: nothing is wanted of it`);
  }
  const mode = change.mode ?? record.wanted.mode;
  const refused = refuseMode(record, mode, change);
  if (refused !== null) return refused;
  const labels = merged(record.labels, change.labels ?? {});
  if (Object.keys(labels).length > MOST_LABELS) {
    return refuse('NODE_LABELS', `node ${record.name} would have more than ${MOST_LABELS} labels`);
  }
  const said = [
    ...(mode === record.wanted.mode ? [] : [`mode ${mode}`]),
    ...(change.wipe === true && !record.wanted.wipe ? ['may wipe its disk'] : []),
    ...told('site', record.site, change.site),
    ...told('rack', record.rack, change.rack),
    ...told('role', record.role, change.role),
    ...Object.entries(change.labels ?? {}).flatMap(([name, value]) =>
      told(`label ${name}`, record.labels[name] ?? null, value),
    ),
  ];
  if (said.length === 0) return { kind: 'same' };
  const isDiskLeft = mode === 'netboot' && record.wanted.mode === 'installed';
  return take(record, {
    // A cancelled installation is over: the next heartbeat shows the node's state.
    to: isDiskLeft && record.state === 'installing' ? 'enrolled' : record.state,
    at: by.at,
    actor: by.actor,
    action: 'set',
    reason: said.join(', '),
    set: {
      // A node that stays diskless has no installation to which the consent could apply.
      wanted: { ...record.wanted, mode, wipe: mode === 'installed' && (change.wipe ?? record.wanted.wipe) },
      // Its disk gets no more updates: when it is wanted again, it is updated before the node starts from it.
      installedAt: isDiskLeft ? null : record.installedAt,
      site: change.site ?? record.site,
      rack: change.rack === undefined ? record.rack : change.rack,
      role: change.role === undefined ? record.role : change.role,
      labels,
    },
  });
}

function refuseMode(record: NodeRecord, mode: NodeRecord['wanted']['mode'], { wipe }: NodeChange) {
  if (mode === 'installed' && record.wanted.mode !== mode && record.inventory.firmware.kind === 'bios') {
    return refuse(
      'NODE_BIOS',
      `node ${record.name} boots by BIOS, which checks nothing that it starts: it stays netboot`,
    );
  }
  if (wipe !== true) return null;
  if (mode !== 'installed') {
    return refuse(
      'NODE_WIPE_MODE',
      `node ${record.name} boots from the network and leaves its disk alone: there is nothing to wipe for`,
      `bootwave node set ${record.name} --mode installed --wipe`,
    );
  }
  if (record.installedAt !== null) {
    return refuse('NODE_INSTALLED', `node ${record.name} is installed: its disk holds nothing of others`);
  }
  return null;
}

function merged(
  before: NodeRecord['labels'],
  change: NonNullable<NodeChange['labels']>,
): Record<string, string> {
  const all = Object.entries({ ...before, ...change }).filter(
    (entry): entry is [string, string] => entry[1] !== null,
  );
  return Object.fromEntries(all.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function told(what: string, before: string | null, after: string | null | undefined): string[] {
  if (after === undefined || after === before) return [];
  return [after === null ? `${what} taken away` : `${what} ${after}`];
}
