import { isOwnMac, serialKey } from '../../formats/identifiers.ts';
import type { Op } from './commit.ts';
import { KEYS } from './keys.ts';
import { expectedBeat, type NodeRecord } from './record.ts';
import { isMember, type State } from './transitions.ts';

/** Hash fields that scripts read without parsing the body. */
export function scriptFields(record: NodeRecord): Record<string, string> {
  return {
    serial: isMember(record.state) ? (record.identity.certificateSerial ?? '') : '',
    previous: isMember(record.state) ? (record.identity.previousSerial ?? '') : '',
    beat: expectedBeat(record),
  };
}

/** The name belongs to nodes that are or may come in the fleet; a retired node gives it up. */
const keepsName = (state: State) => state !== 'retired';

/**
 * What a change of a record changes in the indexes.
 * @param from owners who may hand over names and MACs: the expectation that was fulfilled, retired nodes
 */
export function indexOps(before: NodeRecord | null, after: NodeRecord, from: readonly string[] = []): Op[] {
  const { id } = after;
  const ops: Op[] = [];
  if (before === null) ops.push({ op: 'join', key: KEYS.nodes, value: id });
  if (before?.state !== after.state) {
    if (before !== null) ops.push({ op: 'leave', key: KEYS.nodesInState(before.state), value: id });
    ops.push({ op: 'join', key: KEYS.nodesInState(after.state), value: id });
  }
  if (before?.site !== after.site) {
    if (before !== null) ops.push({ op: 'leave', key: KEYS.nodesOfSite(before.site), value: id });
    ops.push({ op: 'join', key: KEYS.nodesOfSite(after.site), value: id });
  }
  ops.push(
    ...nameOps(before, after, from),
    ...hardwareOps(before, after, from),
    ...certificateOps(before, after),
  );
  // Watched from the certificate on: a node that never sends a first heartbeat is noticed too.
  if (after.identity.certificateSerial === null || !isMember(after.state)) {
    ops.push({ op: 'unscore', key: KEYS.seen, member: id });
  } else if (before?.identity.certificateSerial !== after.identity.certificateSerial) {
    ops.push({ op: 'score', key: KEYS.seen, member: id, score: after.changedAt });
  }
  return ops;
}

function nameOps(before: NodeRecord | null, after: NodeRecord, from: readonly string[]): Op[] {
  const had = before !== null && keepsName(before.state) ? before.name : null;
  const has = keepsName(after.state) ? after.name : null;
  if (had === has) return [];
  const ops: Op[] = [];
  if (had !== null) ops.push({ op: 'release', key: KEYS.names, field: had, owner: after.id });
  if (has !== null) ops.push({ op: 'claim', key: KEYS.names, field: has, owner: after.id, from });
  return ops;
}

function hardwareOps(before: NodeRecord | null, after: NodeRecord, from: readonly string[]): Op[] {
  const { id } = after;
  const macs = (record: NodeRecord | null) =>
    new Set(record?.inventory.nics.filter(isOwnMac).map((nic) => nic.mac));
  const had = macs(before);
  const has = macs(after);
  const ops: Op[] = [];
  for (const mac of had)
    if (!has.has(mac)) ops.push({ op: 'release', key: KEYS.macs, field: mac, owner: id });
  for (const mac of has) {
    for (const owner of from) ops.push({ op: 'release', key: KEYS.macs, field: mac, owner });
    ops.push({ op: 'offer', key: KEYS.macs, field: mac, owner: id });
  }
  const [was, is] = [before === null ? [] : shownBy(before), shownBy(after)];
  for (const key of was) if (!is.includes(key)) ops.push({ op: 'leave', key, value: id });
  for (const key of is) ops.push({ op: 'join', key, value: id });
  return ops;
}

function shownBy({ inventory: { serial, nics } }: NodeRecord): string[] {
  const macs = nics.map((nic) => KEYS.showing('mac', nic.mac));
  return serial.trim() === '' ? macs : [...macs, KEYS.showing('serial', serialKey(serial))];
}

function certificateOps(before: NodeRecord | null, after: NodeRecord): Op[] {
  const serials = (record: NodeRecord | null) =>
    [record?.identity.certificateSerial, record?.identity.previousSerial].filter((serial) => serial != null);
  const [had, has] = [serials(before), serials(after)];
  const at = (field: string) => ({ key: KEYS.certificates, field, owner: after.id });
  return [
    ...had
      .filter((serial) => !has.includes(serial))
      .map((serial) => ({ op: 'release' as const, ...at(serial) })),
    ...has
      .filter((serial) => !had.includes(serial))
      .map((serial) => ({ op: 'offer' as const, ...at(serial) })),
  ];
}
