/** docs/who.md, followed by somebody who types what it says, at the door of a server. */
import { join } from 'node:path';
import test from 'ava';
import { mustRun } from '../../base/run.ts';
import { beginDecisions } from '../../orchestrator/fleet/decisions/confirm.ts';
import { DEFAULT_SITE } from '../../orchestrator/fleet/site.ts';
import { FlowStore } from '../../orchestrator/flows/store.ts';
import { openDoor } from '../../orchestrator/operations/door.ts';
import { OperatorRegister } from '../../orchestrator/operators/register.ts';
import { directoryOf } from '../attack/redis/server.ts';
import { certificateFor, enrolment, silent, temporaryData } from '../orchestrator/fleet/support.ts';
import { houseOf } from '../orchestrator/operations/support.ts';
import { ordered } from '../orchestrator/usage/orders.ts';
import { keysIn } from '../support/keys.ts';
import { commandsOf, pageAt, REPOSITORY, words } from './pages.ts';

test('who it was is answered with its doubts, and stopped, listed and let go as the page says', async (t) => {
  t.timeout(10 * 60_000);
  const commands = commandsOf(await pageAt('docs/who.md')).flatMap(
    (line) => /^bootwave (.*)$/.exec(line)?.[1] ?? [],
  );
  t.is(commands.length, 7);
  const paths = await temporaryData(t);
  await keysIn(paths.keys);
  const house = await houseOf(t, paths);
  const { fleet } = await house.records();
  await beginDecisions(fleet, silent, { actor: 'bootserver', at: 1 });
  const { done } = await openDoor(house);
  const one = enrolment(1);
  const by = { actor: 'operator:ann', at: Date.now() };
  const directory = directoryOf(fleet);
  await directory.enrol(one);
  await fleet.approve(one.id, one.words, by);
  await directory.recordCertificate(one.id, certificateFor(one));
  await ordered(fleet, one.id, ['fleet/crawler']);
  const { name } = (await fleet.nodes.get(one.id))!;
  const noon = Date.parse('2026-03-10T12:00');
  const store = new FlowStore(paths.flows);
  for (const [number, at] of [noon, Date.now()].entries())
    await store.add(one.id, {
      ...{ heard: at + 60_000, life: 'x', number, from: at - 700_000, until: at + 60_000 },
      instances: [
        ['fleet/crawler', '1'],
        ['fleet/crawler@probe', '2'],
      ],
      flows: [
        [1, 'sent', '192.0.2.10', 'tcp', 443, 1, 60, 90, 30],
        [0, 'sent', '192.0.2.10', 'tcp', 443, 7, 4200, 90, 30],
        [0, 'wide', '192.0.0.0', null, null, 5, 500, 90, 30],
      ],
    });
  // In a slice of somebody, who has left since.
  const register = new OperatorRegister(paths.keys);
  const [from, gone] = [Date.now() - 3600_000, Date.now() + 60_000];
  const theirs = {
    role: 'slice-owner' as const,
    sites: [],
    slices: ['probe'],
    notBefore: from,
    notAfter: gone,
  };
  for (const owner of ['mal', 'eve']) {
    await register.add({ serial: owner, name: owner, ...theirs }, { actor: 'ann', at: from });
  }
  await register.revoke('eve', { by: 'ann', at: from + 1, reason: 'left' });
  const env = { ...process.env, BOOTWAVE_DATA: paths.root, BOOTWAVE_REDIS_URL: '', BOOTWAVE_LOG: 'error' };
  const said: string[] = [];
  for (const line of commands) {
    const args = words(line.replaceAll('web2', name).replace('munich', DEFAULT_SITE));
    // The day of the page goes by; who reads it asks within 30 days.
    said.push((await mustRun(join(REPOSITORY, 'bin/bootwave'), args, { env })).stdout);
  }
  const [answer = '', other = '', traffic = '', froze = '', throttled = '', listed = '', resumed = ''] = said;
  t.regex(answer, /yes +crawler:1 +core team +sent +192\.0\.2\.10 tcp +443 +7 +4\.1 KiB/);
  t.regex(answer, /maybe +crawler:1 +core team .*192\.0\.0\.0\/8/);
  t.regex(answer, /maybe: its record was full/);
  t.regex(answer, /unknown: what was sent from 2026-03-10 12:01:00/);
  t.regex(answer, /crawler@probe:2 +core team/, 'nobody owned it in March');
  t.regex(other, /crawler:1/);
  t.regex(other, /crawler@probe:2 +mal +sent/);
  t.regex(traffic, /many times more than before: people are told, and they are frozen there/);
  t.regex(froze, new RegExp(`crawler is frozen\\n.*brought to them by itself: ${name}`));
  t.regex(throttled, /crawler is throttled to 97\.7 KiB\/s/);
  t.regex(listed, new RegExp(`crawler +${name} +frozen .*complaint 4711`));
  t.regex(listed, /crawler +wherever it runs +throttled/);
  t.regex(resumed, /crawler is let go/);
  await house.close();
  await done.catch(() => {});
});
