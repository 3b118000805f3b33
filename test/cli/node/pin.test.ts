import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { publishManifests } from '../../../lab/sim/images.ts';
import { beatOfBoot, certificateFor, enrolment, fleetFor } from '../../orchestrator/fleet/support.ts';
import { commandsOn } from '../in-process.ts';

test.serial('a node is pinned, shown so, left out of plans with the reason, and let go', async (t) => {
  const { fleet, directory, by, paths } = await fleetFor(t);
  await publishManifests(paths.images, ['1.0', '2.0', '3.0']);
  for (const n of [1, 2]) {
    const e = enrolment(n, 1, { running: { version: '1.0', kernel: '6.1.0', bootId: `boot-${n}` } });
    await directory.enrol(e);
    await fleet.approve(e.id, e.words, by(), `web${n}`);
    await directory.recordCertificate(e.id, certificateFor(e));
    await directory.heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e));
  }
  const bootwave = commandsOn(t, paths.root);
  const node = (...args: string[]) => bootwave('ann', 'node', ...args);
  const plan = async (image: string) => {
    const file = join(paths.root, 'spec.json');
    await writeFile(file, JSON.stringify({ image, nodes: { all: true }, waves: [{}] }));
    return bootwave('ann', 'rollout', 'plan', file);
  };
  t.is((await node('pin', 'web1', '--image', '9.0', '--reason', 'x')).code, 'NODE_PIN_IMAGE');
  const pinned = await node('pin', 'web1', '--image', '2.0', '--reason', 'driver', '--until', '2d');
  t.is(pinned.code, '', pinned.what);
  t.is(pinned.out, 'web1 is pinned to 2.0; it runs 1.0, and a rollout of 2.0 brings it there');
  t.is((await node('hold', 'web1', '--reason', 'disk')).code, '');
  t.regex((await node('list')).out, /healthy, held, pinned to 2\.0 +web1/);
  const shown = (await node('show', 'web1')).out;
  t.regex(shown, /held +operator:ann holds it: disk/);
  t.regex(shown, /pinned +operator:ann pins it to 2\.0 until .*Z: driver$/m);
  t.regex(shown, /wanted +netboot, image 2\.0$/m);
  t.is((await node('unhold', 'web1')).code, '');

  t.regex((await plan('3.0')).out, /web1 +default +operator:ann pins it to 2\.0 until .*: driver/);
  t.regex((await plan('2.0')).out, /image 2\.0 to 2 nodes/);

  t.is((await bootwave('ann', 'image', 'withdraw', '2.0', '--reason', 'loses its disk')).code, '');
  t.regex(
    (await node('show', 'web1')).out,
    /driver; but image 2\.0 is withdrawn: 'bootwave node unpin web1'/,
  );
  t.regex((await node('list')).out, /^web1 is pinned, but image 2\.0 is withdrawn: .*unpin web1/m);
  t.regex((await plan('3.0')).out, /driver; but version 2\.0 is a dead end: it is withdrawn/);
  t.regex((await node('unpin', 'web1')).out, /any image again/);
  t.notRegex((await node('list')).out, /pinned/);
  t.regex((await plan('3.0')).out, /image 3\.0 to 2 nodes/);
});
