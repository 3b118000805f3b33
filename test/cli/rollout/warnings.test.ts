import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { publishManifests } from '../../../lab/sim/images.ts';
import {
  beatOfBoot,
  certificateFor,
  enrolment,
  fleetFor,
  inventory,
} from '../../orchestrator/fleet/support.ts';
import { commandsOn } from '../in-process.ts';

test.serial('who starts a rollout is told what the plan warns of', async (t) => {
  const { paths, fleet, directory, by } = await fleetFor(t);
  const firmware = { ...inventory(1).firmware, kind: 'bios' as const };
  const e = enrolment(1, 1, { inventory: inventory(1, { firmware }) });
  await directory.enrol(e);
  await fleet.approve(e.id, e.words, by(), 'web1');
  await directory.recordCertificate(e.id, certificateFor(e));
  await directory.heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e));
  await publishManifests(paths.images, ['1.0', '2.0']);
  const spec = join(paths.root, 'spec.json');
  await writeFile(spec, '{"image":"2.0","nodes":{"all":true}}');
  const bootwave = commandsOn(t, paths.root);
  const warning = /^warning: 1 nodes boot by BIOS/m;
  t.regex((await bootwave('ann', 'rollout', 'plan', spec)).out, /1 nodes boot by BIOS/);
  t.regex((await bootwave('ann', 'rollout', 'start', spec)).out, warning);
});
