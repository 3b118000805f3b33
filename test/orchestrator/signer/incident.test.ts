/** What a signer makes of incidents: its own log on disk decides, and a machine that comes back is to have what it had. */
import test from 'ava';
import {
  DecidedIncidents,
  type Incident,
  incidentKey,
} from '../../../orchestrator/fleet/decisions/incidents.ts';
import { DecidedRollouts } from '../../../orchestrator/fleet/decisions/rollouts.ts';
import { checkIncident, type IncidentGrounds } from '../../../orchestrator/signer/incident.ts';
import type { OrderedWipe } from '../../../protocol/order.ts';
import { NODE, NOW, orderOf } from './orders.ts';
import { signerFor } from './support.ts';

const DISK = '0x5000c500';
const WIPE: OrderedWipe = { number: 2, installed: [DISK], others: 'leave' };

function grounds(
  step: Incident['step'],
  more: { road?: Incident['road']; may?: 'person' | 'wipe' | 'wipe-all' } = {},
) {
  const incidents = new DecidedIncidents();
  const incident: Incident = {
    ...{
      node: NODE,
      name: 'n1',
      site: 'munich',
      number: 2,
      epoch: 5,
      road: more.road ?? 'compromised',
      step,
    },
    ...{
      signal: 'operator',
      evidence: [],
      reason: 'odd',
      tries: {},
      wipe: null,
      by: 'x',
      openedAt: NOW,
      at: NOW,
    },
  };
  incidents.add({ key: incidentKey(NODE), body: JSON.stringify(incident) });
  const place = { site: 'munich', disks: [DISK] } as never;
  const decided: IncidentGrounds['decided'] = {
    incidents,
    places: { get: (id) => (id === NODE ? { place } : undefined) },
    recovery: (site) => (site === 'munich' ? (more.may ?? 'wipe') : 'wipe-all'),
  };
  return { decided };
}

function said(incident: OrderedWipe | undefined, ...of: Parameters<typeof grounds>): string {
  try {
    return checkIncident({ node: NODE, incident }, grounds(...of)) ?? 'any other';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

test('held: the order of the incident and no other; not held: no order to wipe', (t) => {
  for (const [step, wipe, other] of [
    ['fenced', 'incident 2', 'SIGNER_HELD'],
    ['wiping', 'incident 2', 'SIGNER_HELD'],
    ['person', 'SIGNER_INCIDENT', 'SIGNER_HELD'],
    ['wiped', 'SIGNER_INCIDENT', 'any other'],
    ['returning', 'SIGNER_INCIDENT', 'any other'],
    ['ended', 'SIGNER_INCIDENT', 'any other'],
  ] as const) {
    t.is(said(WIPE, step), wipe, step);
    t.is(said(undefined, step), other, step);
  }
  t.is(said(WIPE, 'open', { road: 'broken' }), 'SIGNER_INCIDENT');
  t.is(said(undefined, 'open', { road: 'broken' }), 'any other');
});

test('only what its site has consented to, and only the disks that were decided', (t) => {
  t.is(said(WIPE, 'wiping', { may: 'person' }), 'SIGNER_INCIDENT_UNSAID');
  t.is(said({ ...WIPE, others: 'wipe' }, 'wiping'), 'SIGNER_INCIDENT_DISKS');
  t.is(said({ ...WIPE, others: 'wipe' }, 'wiping', { may: 'wipe-all' }), 'incident 2');
  t.is(said(WIPE, 'wiping', { may: 'wipe-all' }), 'SIGNER_INCIDENT_DISKS');
  for (const installed of [[], ['other'], [DISK, 'other'], [DISK, DISK]])
    t.is(said({ ...WIPE, installed }, 'wiping'), 'SIGNER_INCIDENT_DISKS', installed.join());
  t.is(said({ ...WIPE, number: 1 }, 'wiping'), 'SIGNER_INCIDENT');
});

test('what the machine had is kept through its wipe; the same wipe counts once in an hour', async (t) => {
  const world = await signerFor(t, { wipesPerHour: 1 });
  const standing = { step: 'ended' as Incident['step'] };
  const { current } = world.decisions;
  world.decisions.current = async () => {
    const decided = await current.call(world.decisions);
    return { ...decided, rollouts: new DecidedRollouts(), ...grounds(standing.step).decided };
  };
  await world.says({ say: 'config', sha256: 'c'.repeat(64), version: '1' });
  const had = { config: 'c'.repeat(64), image: { version: '2.0', sha256: 'a'.repeat(64), size: 1_000_000 } };
  await world.signed({ epoch: 1, ...had });
  standing.step = 'wiping';
  const wipe = { mode: 'netboot', image: null, config: null, wipe: true, incident: WIPE } as const;
  await world.signed({ epoch: 2, ...wipe });
  await world.signed({ epoch: 3, ...wipe });
  t.like(await world.signer.standing(NODE), { epoch: 3, config: had.config });
  t.like(world.ledger.of(NODE)?.moved, { version: '2.0' });
  const other = `tpm-${'b'.repeat(64)}`;
  await world.says({ say: 'wipe', node: other });
  await t.throwsAsync(world.signer.sign(orderOf({ node: other, wipe: true })), {
    code: 'SIGNER_WIPE_BUDGET',
  });
  standing.step = 'returning';
  t.is((await world.signed({ epoch: 4, ...had })).order.config, had.config);
});
