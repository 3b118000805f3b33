/** Evidence that a site wants collected by itself, with the keeper, the signer and the road of a held machine as `bootwave up` runs them. */
import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { kept, momentOf } from '../../../orchestrator/recovery/evidence.ts';
import { EVIDENCE_FIRST } from '../../../orchestrator/recovery/held.ts';
import { decideIncident } from '../../../orchestrator/recovery/incidents.ts';
import { startEvidenceKeeper } from '../../../orchestrator/recovery/keep-evidence.ts';
import type { EnrolmentDecision } from '../../../protocol/enrolment/enrolment.ts';
import { silent } from '../fleet/support.ts';
import { BY, heldWorld } from './held-world.ts';

type Held = Extract<EnrolmentDecision, { state: 'held' }>;

async function world(t: ExecutionContext) {
  const found = await heldWorld(t);
  const { fleet, paths, says, fences, clock, stands } = found;
  await says('wipe');
  await fleet.sites.set('default', { evidence: 'collect' }, BY);
  await fences();
  const run = () => {
    const stop = new AbortController();
    const done = startEvidenceKeeper({
      ...{ fleet, folder: paths.evidence, site: 'default', log: silent, signal: stop.signal },
      ...{ now: () => clock.now, times: { look: 20, again: 40 } },
    });
    t.teardown(async () => {
      stop.abort();
      await done;
    });
  };
  const until = async (what: () => boolean) => {
    for (const last = performance.now() + 60_000; !what(); await sleep(20))
      if (performance.now() > last) throw new Error(JSON.stringify(stands()));
  };
  return { ...found, run, until };
}

test('a fenced node gets no order to wipe before its evidence is collected, and at once when it is', async (t) => {
  const { restarts, run, until, stands, fleet, paths, id } = await world(t);
  const early = (await restarts(2)) as Held;
  t.is(early.order, null);
  t.regex(early.reason, /collected before its wipe/);
  t.like(stands(), { step: 'fenced' });
  run();
  await until(() => stands()?.collected !== undefined);
  t.regex((await kept(paths.evidence, stands()!)).toString(), /it talks to strangers/);
  const held = (await restarts(3)) as Held;
  t.not(held.order, null);
  t.like(stands(), {
    step: 'wiping',
    reason: 'it has started, and proved its TPM',
    collected: { length: 1 },
  });
  // Another fence within the same incident is another moment.
  t.is(momentOf(stands()!, 0), null);
  await decideIncident(fleet, id, (now) => ({ ...now!, step: 'fenced', tries: { returns: 1 } }), BY);
  await until(() => stands()?.collected?.length === 2);
});

test('nobody collects: the wipe waits for two minutes after the fence and no longer, and the incident says so', async (t) => {
  const { restarts, stands, clock } = await world(t);
  clock.now += EVIDENCE_FIRST - 1;
  t.is(((await restarts(2)) as Held).order, null);
  clock.now += 1;
  t.not(((await restarts(3)) as Held).order, null);
  t.like(stands(), { step: 'wiping' });
  t.regex(stands()!.reason, /evidence was not collected in time/);
});

test('evidence that cannot be written is missing in the incident, and does not keep the wipe from going on', async (t) => {
  const { restarts, stands, clock, paths, run, until } = await world(t);
  await writeFile(paths.evidence, 'no folder');
  run();
  await until(() =>
    stands()!.evidence.some((line) => /evidence was not collected: .*EEXIST|ENOTDIR/.test(line)),
  );
  t.is(((await restarts(2)) as Held).order, null);
  clock.now += EVIDENCE_FIRST;
  t.not(((await restarts(3)) as Held).order, null);
});

test('a site that wants none collects nothing, and nothing waits for it', async (t) => {
  const { fleet, restarts, run, stands } = await world(t);
  await fleet.sites.set('default', { evidence: 'none' }, BY);
  run();
  t.not(((await restarts(2)) as Held).order, null);
  await sleep(300);
  t.is(stands()?.collected, undefined);
});
