import type { BootEvent } from '../../bootserver/directory.ts';
import { heldWhy } from '../../orchestrator/fleet/events/hold.ts';
import { pinOf, wantedImage } from '../../orchestrator/fleet/events/pin.ts';
import type { Silence } from '../../orchestrator/fleet/listening.ts';
import { shortId } from '../../orchestrator/fleet/names.ts';
import type { Counts, MachineView, NodeView, Overview } from '../../orchestrator/fleet/overview.ts';
import type { NodeRecord } from '../../orchestrator/fleet/record.ts';
import type { State } from '../../orchestrator/fleet/transitions.ts';
import type { InstanceTop, NodeTop } from '../../orchestrator/usage/top.ts';
import type { DiskSmart } from '../../protocol/enrolment/heartbeat.ts';
import { ago } from '../ago.ts';
import { harmless, table } from '../context.ts';
import { usesRows } from '../usage/text.ts';
import { labelsText } from './set.ts';

/** Records that cannot be read and are named. */
const MOST_ODD = 5;

/** Nodes as people read them: one line each, what needs a hand below. */
export function listText(
  {
    nodes,
    machines,
    counts,
    silent = [],
    unreadable = [],
  }: Omit<Overview, 'silent' | 'unreadable'> & Partial<Overview>,
  now: number,
  { site, state }: { site?: string | undefined; state?: State | undefined } = {},
): string {
  const unheard = [
    ...silent.map((silence) => silenceText(silence, now)),
    ...unreadable.slice(0, MOST_ODD),
    ...(unreadable.length > MOST_ODD
      ? [`and ${unreadable.length - MOST_ODD} more records cannot be read`]
      : []),
  ];
  if (nodes.length === 0 && machines.length === 0) {
    const filter = [
      ...(site === undefined ? [] : [`at site ${site}`]),
      ...(state === undefined ? [] : [`in state ${state}`]),
    ];
    if (filter.length > 0) return [`no machine is ${filter.join(' ')}`, ...unheard].join('\n');
    return `no machine was seen yet: switch one on in the network of 'bootwave up', or look at 'bootwave doctor'`;
  }
  // A column without a value for any node is left out.
  const said = SAID.filter(([, of]) => nodes.some((node) => of(node) !== ''));
  const rows = [
    ...nodes.map((node) => [...nodeRow(node, now), ...said.map(([, of]) => of(node))]),
    ...machines.map((machine) => machineRow(machine, now)),
  ];
  const head = ['STATE', 'NAME', 'SITE', 'ID', 'WORDS', 'ADDRESS', 'IMAGE', 'MODE', 'SECURE BOOT', 'SEEN'];
  head.push(...said.map(([title]) => title));
  const all = [table(head, rows), '', countsText(counts), ...unheard, ...hints(nodes, machines, now)];
  return all.join('\n');
}

/** The first thing to know: nothing above it is news. */
export function silenceText({ site, since }: Silence, now: number): string {
  const when =
    since === null ? 'so far' : `since ${new Date(since).toISOString().slice(0, 19)}Z (${ago(since, now)})`;
  return `NOBODY LISTENS at site ${site} ${when}: what is shown of its nodes was true then; 'bootwave up' with an interface there listens`;
}

const SAID: readonly (readonly [title: string, of: (node: NodeView) => string])[] = [
  ['RACK', (node) => node.rack ?? ''],
  ['ROLE', (node) => node.role ?? ''],
  ['LABELS', (node) => labelsText(node.labels)],
];

function nodeRow(node: NodeView, now: number): string[] {
  return [
    stateText(node, now),
    node.name,
    node.site,
    shortId(node.id),
    node.state === 'pending' ? node.words.join(' ') : '',
    node.observed.address,
    node.observed.image,
    node.wanted.mode,
    secureBootText(node),
    node.lastSeen === null ? '-' : ago(node.lastSeen, now),
  ];
}

function stateText(node: NodeView, now: number): string {
  const pinned = pinOf(node, now);
  return [
    node.state,
    ...(node.stuck === null ? [] : ['stuck booting']),
    ...(heldWhy(node, now) === null ? [] : ['held']),
    ...(pinned === null ? [] : [`pinned to ${pinned.image}`]),
    ...(node.shortfalls === undefined ? [] : ['hardware falls short']),
  ].join(', ');
}

function pinText(node: NodeView, now: number): string {
  const why = pinOf(node, now)?.why ?? '';
  return node.pinFlaw === undefined ? why : `${why}; but ${flawText(node)}`;
}

/** A pin does not end when its image may not be run any more. */
const flawText = ({ name, pinFlaw }: NodeView): string =>
  `${pinFlaw}: 'bootwave node unpin ${name}' lets it go`;

function machineRow(machine: MachineView, now: number): string[] {
  const seen = machine.step === 'refused' ? 'refused' : 'discovered';
  const state = machine.stuck === null ? seen : 'stuck booting';
  return [state, '-', machine.site, machine.mac, '', '', '', '', '', ago(machine.lastSeen, now)];
}

function countsText(counts: Counts): string {
  return `registered ${counts.registered}   reachable ${counts.reachable}   healthy ${counts.healthy}   usable ${counts.usable}`;
}

function hints(nodes: readonly NodeView[], machines: readonly MachineView[], now: number): string[] {
  const lines: string[] = [];
  for (const { stuck, mac, step, detail } of machines) {
    if (stuck !== null) lines.push(`${mac}: ${stuck.check}`);
    else if (step === 'refused') lines.push(`${mac}: ${detail}`);
  }
  for (const { stuck, name } of nodes) if (stuck !== null) lines.push(`${name}: ${stuck.check}`);
  for (const node of nodes)
    if (node.pinFlaw !== undefined) lines.push(`${node.name} is pinned, but ${flawText(node)}`);
  for (const { name, observed, marks } of nodes) {
    for (const disk of observed.smart ?? [])
      if (disk.failing === true) lines.push(`${name}: ${smartText(disk)}`);
    if (observed.attested.state === 'mismatch') lines.push(`${name}: ${observed.attested.reason}`);
    else if (marks.includes('attestation-stale')) {
      lines.push(`${name}: last attested ${ago(observed.lastAttestedAt, now)}; does its TPM answer?`);
    }
  }
  for (const { name, shortfalls } of nodes)
    if (shortfalls !== undefined) lines.push(harmless(`${name}: ${shortfalls.join('; ')}`));
  lines.push(...strange(nodes));
  const pending = nodes.filter((node) => node.state === 'pending');
  const [one] = pending;
  if (one !== undefined) {
    lines.push(
      `${pending.length === 1 ? `${one.name} waits` : `${pending.length} nodes wait`} for approval: compare the words with the node's console, then 'bootwave node approve ${one.name}'`,
    );
  }
  return lines.length === 0 ? [] : ['', ...lines];
}

/** Nodes that are let in but should be checked; many firmware updates are one line. */
function strange(nodes: readonly NodeView[]): string[] {
  const names = new Map<string, string[]>();
  for (const { name, observed } of nodes) {
    const { state, reason } = observed.attested;
    if (state === 'differs') names.set(reason, [...(names.get(reason) ?? []), name]);
  }
  return [...names].map(([reason, [first, ...more]]) =>
    harmless(`${first}${more.length === 0 ? '' : ` and ${more.length} more`}: ${reason}`),
  );
}

export function secureBootText(node: Pick<NodeRecord, 'observed' | 'marks'>): string {
  const text = node.observed.secureBoot === 'absent' ? 'none (BIOS)' : node.observed.secureBoot;
  return node.marks.includes('no-tpm') ? `${text}, no TPM` : text;
}

function ekText({ verified, reason }: { verified: boolean; reason: string }): string {
  return verified ? `${reason}, verified` : `unverified: ${reason}`;
}

function dbxText(dbx: NonNullable<NodeRecord['observed']['firmware']>['dbx']): string {
  if (dbx === undefined) return '';
  const entries = dbx.entries === 1 ? '1 entry' : `${dbx.entries ?? 'unreadable'} entries`;
  return `${entries}, sha256 ${dbx.sha256.slice(0, 32)}`;
}

/** What a member uses, and each of its services. */
export type Uses = { node: NodeTop; instances: readonly InstanceTop[] };

/** Everything about one node. */
export function showText(
  node: NodeView,
  boots: readonly BootEvent[],
  now: number,
  uses?: Uses | null,
): string {
  const { observed, identity, inventory } = node;
  const rows: [string, string][] = [
    ['state', `${node.state} (${node.reason})`],
    ['site', node.site],
    ['id', node.id],
    ['words', node.words.join(' ')],
    [
      'wanted',
      `${node.wanted.mode}${node.wanted.wipe ? ', may wipe its disk' : ''}, image ${wantedImage(node, now) ?? 'the newest'}`,
    ],
    ['rack', node.rack ?? ''],
    ['role', node.role ?? ''],
    ['labels', labelsText(node.labels)],
    ['held', heldWhy(node, now) ?? ''],
    ['pinned', pinText(node, now)],
    ['runs', `image ${observed.image}, kernel ${observed.kernel}`],
    ['seen', node.lastSeen === null ? 'never' : ago(node.lastSeen, now)],
    [
      'attested',
      `${observed.attested.state}, ${ago(observed.lastAttestedAt, now)} (${observed.attested.reason})`,
    ],
    ...(uses == null ? [] : usesRows(uses, now)),
    ['option ROMs', (observed.firmware?.optionRoms ?? []).join(', ')],
    ['db', [...(observed.firmware?.db ?? []), ...(observed.firmware?.retired ?? [])].join(', ')],
    ['dbx', dbxText(observed.firmware?.dbx)],
    ['EK', identity.ekCertificate === null ? '' : ekText(identity.ekCertificate)],
    ['address', observed.address],
    ['secure boot', secureBootText(node)],
    ['machine', `${inventory.manufacturer} ${inventory.product}, serial ${inventory.serial || 'none'}`],
    ['hardware', `${inventory.cpu.model}, ${inventory.cpu.threads} threads, ${bytes(inventory.memory)}`],
    ['falls short', (node.shortfalls ?? []).join('; ')],
    ['network', inventory.nics.map((nic) => `${nic.name} ${nic.mac} (${nic.driver})`).join(', ')],
    [
      'disks',
      inventory.disks.map((disk) => `${disk.name} ${bytes(disk.size)} ${disk.model}`.trim()).join(', '),
    ],
    ['SMART', (observed.smart ?? []).map(smartText).join('; ')],
    ['host key', identity.hostKey],
    ['certificate', identity.certificateSerial ?? 'none'],
    ['approved', node.approvedBy === null ? 'no' : `by ${node.approvedBy}`],
    ['marks', node.marks.join(', ')],
    ['epoch', String(node.epoch)],
  ];
  const lines = rows
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `  ${name.padEnd(12)}${harmless(value)}`);
  const steps = boots
    .slice(-10)
    .map((event) =>
      harmless(
        `  ${ago(event.at, now).padEnd(14)}${event.mac}  ${event.step} ${event.detail ?? ''}`,
      ).trimEnd(),
    );
  return [
    node.name,
    ...lines,
    ...(steps.length === 0 ? [] : ['last boot steps', ...steps]),
    ...(node.stuck === null ? [] : [`stuck booting: ${node.stuck.check}`]),
  ].join('\n');
}

function smartText({ disk, failing, why }: DiskSmart): string {
  const is = failing === null ? 'unknown' : failing ? 'FAILING' : 'ok';
  return `${is} ${disk} (${why})`;
}

function bytes(size: number): string {
  return size >= 2 ** 30
    ? `${(size / 2 ** 30).toFixed(size < 10 * 2 ** 30 ? 1 : 0)} GiB`
    : `${Math.round(size / 2 ** 20)} MiB`;
}
