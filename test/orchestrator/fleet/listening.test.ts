import test from 'ava';
import { listText } from '../../../cli/node/text.ts';
import { DEAF_AFTER, noteListening, silences } from '../../../orchestrator/fleet/listening.ts';
import { overview } from '../../../orchestrator/fleet/overview.ts';
import { enrolment, fleetFor } from './support.ts';

test('a site with nodes whose boot server is gone says since when; one without nodes has nothing to say', async (t) => {
  const { fleet, directory, at, by, clock } = await fleetFor(t);
  await fleet.sites.add('lab1', {}, by());
  await fleet.sites.add('lab2', {}, by());
  t.deepEqual(await silences(fleet, clock.now), []);
  await directory.enrol(enrolment(1));
  await at('lab1').enrol(enrolment(2));
  t.deepEqual(await silences(fleet, clock.now), [
    { site: 'default', since: null },
    { site: 'lab1', since: null },
  ]);
  const began = clock.now;
  for (const site of ['default', 'lab1']) await noteListening(fleet, site, began);
  t.deepEqual(await silences(fleet, began + DEAF_AFTER), []);
  // One of them was killed.
  await noteListening(fleet, 'lab1', began + 180_000);
  const later = began + 181_000;
  t.deepEqual(await silences(fleet, later), [{ site: 'default', since: began }]);
  t.deepEqual(await silences(fleet, later, 'lab1'), []);
  t.deepEqual((await overview(fleet, { site: 'default' }, later)).silent, [
    { site: 'default', since: began },
  ]);
});

test('one that ends is missed at once, unless another one listens there', async (t) => {
  const { fleet, directory, clock } = await fleetFor(t);
  await directory.enrol(enrolment(1));
  await noteListening(fleet, 'default', clock.now);
  await noteListening(fleet, 'default', clock.now + 5, true);
  t.deepEqual(await silences(fleet, clock.now + 10), [{ site: 'default', since: clock.now + 5 }]);
  await noteListening(fleet, 'default', clock.now + 11);
  t.deepEqual(await silences(fleet, clock.now + 12), []);
});

test('the list of nodes says it, and a filter that nothing fits is not an empty fleet', async (t) => {
  const { fleet, directory, clock } = await fleetFor(t);
  await directory.enrol(enrolment(1));
  await noteListening(fleet, 'default', clock.now);
  const now = clock.now + 180_000;
  const text = listText(await overview(fleet, {}, now), now);
  t.regex(text, /NOBODY LISTENS at site default since 2027-01-15T08:00:00Z \(3 min ago\)/);
  const none = { nodes: [], machines: [], counts: { registered: 0, reachable: 0, healthy: 0, usable: 0 } };
  t.regex(listText(none, now), /no machine was seen yet/);
  t.is(listText(none, now, { state: 'healthy' }), 'no machine is in state healthy');
  t.is(
    listText(none, now, { site: 'lab1', state: 'pending' }),
    'no machine is at site lab1 in state pending',
  );
});
