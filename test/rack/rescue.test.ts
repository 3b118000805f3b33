/** A node is taken into rescue by a person: its service ends, a person looks at it through its own sshd, and it gets its service back. */
import { mkdtemp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { makeBundle } from '../image/agent/root/services/bundles.ts';
import { Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { ended, startRollout } from '../support/rollout.ts';
import { fetched, release, shownBy } from '../support/services.ts';
import { snapshot } from '../support/snapshot.ts';
import { NODE, UPDATED, updatedRack } from '../support/updated.ts';

const MINUTE = 60_000;

let rack: Rack;
rackFor(
  test,
  'rescue',
  async () => Rack.restore('rescue', await snapshot(UPDATED, updatedRack)),
  async (made) => {
    rack = made;
    await rack.heard(NODE);
    await rack.until(NODE, ({ state }) => state === 'healthy');
  },
  { minutes: 60 },
);

const served = (holds: RegExp) => shownBy(() => fetched(rack, NODE, 9090), holds, 10 * MINUTE);
const look = async (word: string) => {
  const file = join(await mkdtemp(join(rack.paths.root, 'looks-')), 'shown');
  const words = word.split(' ');
  await rack.patiently('incident', 'access', NODE, '--reason', 'why is it slow', '--save', file, ...words);
  return readFile(file, 'utf8');
};

test.serial(
  'nothing runs there but the agent, and a person looks at it; a restart changes nothing',
  async (t) => {
    t.timeout(50 * MINUTE);
    const bundle = await makeBundle(await mkdtemp(join(rack.paths.root, 'services-')));
    const script = 'echo here > /tmp/index.html; exec busybox httpd -f -p 9090 -h /tmp';
    await release(rack, bundle, 'page:1', script, { ports: [{ name: 'http', port: 9090 }] });
    const rollout = await startRollout(rack, { services: ['page:1'], nodes: { all: true } });
    t.is((await ended(rack, rollout)).rollout.state, 'done');
    t.is(await served(/here/), 'here\n');
    await t.throwsAsync(look('kernel'), { message: /INCIDENT_OVER/ });
    await rack.bootwave('node', 'recover', NODE, '--reason', 'its disk answers slowly');
    await t.throwsAsync(look('kernel'), { message: /INCIDENT_NO_RESCUE/ });

    await rack.bootwave('incident', 'rescue', NODE, '--reason', 'its disk answers slowly');
    t.is(await served(/^$/), '');
    t.regex(await look('kernel'), /Linux version 6\./);
    t.regex(await look('units'), /bootwave-agent\.service +loaded +active +running/);
    t.notRegex(await look('processes'), /httpd/);
    t.regex(await look('disks'), /vda/);

    const before = (await rack.record(NODE)).observed.bootId;
    await rack.lab.powerOff(NODE);
    await rack.lab.powerOn(NODE);
    await rack.until(
      NODE,
      ({ state, observed }) => state === 'healthy' && observed.bootId !== before,
      20 * MINUTE,
    );
    t.is(await fetched(rack, NODE, 9090), '');
    t.regex(await look('network'), /10\.77\.0\./);

    await rack.bootwave('incident', 'leave', NODE);
    await rack.bootwave('incident', 'end', NODE, '--reason', 'a cable');
    t.is(await served(/here/), 'here\n');
    await t.throwsAsync(look('kernel'), { message: /INCIDENT_OVER/ });
  },
);
