import test from 'ava';
import { checkListening } from '../../../orchestrator/doctor/listening.ts';
import { DEAF_AFTER, noteListening } from '../../../orchestrator/fleet/listening.ts';
import { enrolment, fleetFor, temporaryData } from '../fleet/support.ts';

test('the doctor fails for a boot server that is gone, and warns of one that never was', async (t) => {
  t.like(await checkListening(await temporaryData(t)), { status: 'ok' });
  const { fleet, paths, directory, clock } = await fleetFor(t);
  t.like(await checkListening(paths, clock.now), { status: 'ok' });
  await directory.enrol(enrolment(1));
  t.like(await checkListening(paths, clock.now), { status: 'warn' });
  await noteListening(fleet, 'default', clock.now);
  t.like(await checkListening(paths, clock.now + DEAF_AFTER), { status: 'ok' });
  const gone = await checkListening(paths, clock.now + 180_000);
  t.is(gone.status, 'fail');
  t.regex(gone.detail, /site default since 2027-01-15T08:00:00Z$/);
});
