/** What people say is also said where the signer looks, whatever becomes of Redis. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { publishManifests } from '../../lab/sim/images.ts';
import { FLOOR } from '../../orchestrator/releases/floor.ts';
import { WITHDRAWN } from '../../orchestrator/releases/withdrawn.ts';
import { readRollout } from '../../orchestrator/rollout/run/stored.ts';
import { Consents } from '../../orchestrator/signer/consents.ts';
import { signerFiles } from '../../orchestrator/signer/files.ts';
import { beatOfBoot, certificateFor, enrolment, fleetFor } from '../orchestrator/fleet/support.ts';
import { commandsOn } from './in-process.ts';

test.serial(
  'wipes, floor, withdrawn images and configurations reach the signer, and are taken back',
  async (t) => {
    const { paths, fleet, directory, by, redis } = await fleetFor(t);
    const bootwave = commandsOn(t, paths.root);
    const heard = new Consents(signerFiles(paths).consents);
    const e = enrolment(1);
    await directory.enrol(e);
    await fleet.approve(e.id, e.words, by(), 'web1');
    await directory.recordCertificate(e.id, certificateFor(e));
    await directory.heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e));

    const set = (...more: string[]) => bootwave('ann', 'node', 'set', 'web1', ...more);
    t.is((await set('--wipe')).code, 'NODE_WIPE_MODE');
    t.false((await heard.current()).wipes.has(e.id), 'a refused wish is no word');
    await set('--mode', 'installed');
    t.false((await heard.current()).wipes.has(e.id));
    await set('--wipe');
    const first = (await heard.current()).wipes.get(e.id);
    t.is(first?.by, 'operator:ann');
    await set('--wipe');
    t.not((await heard.current()).wipes.get(e.id)?.id, first?.id, 'asked again, though nothing else changes');
    await set('--mode', 'netboot');
    t.false((await heard.current()).wipes.has(e.id));

    await publishManifests(paths.images, ['1.0', '2.0']);
    await bootwave('ann', 'image', 'withdraw', '1.0');
    await bootwave('ann', 'rollout', 'floor', '2.0');
    const file = join(paths.root, 'config.json');
    await writeFile(file, '{"labels":{"a":"1"}}');
    const config = await bootwave('ann', 'config', 'publish', file, '--version', '7', '--json');
    const rules = await heard.current();
    t.deepEqual(
      [[...rules.withdrawn], rules.floor, [...rules.configs]],
      [['1.0'], '2.0', [[config.value.sha256, '7']]],
    );

    t.is((await bootwave('ann', 'config', 'withdraw', '8')).code, 'CONFIG_UNKNOWN');
    t.is((await bootwave('ann', 'config', 'reinstate', '7')).code, 'CONFIG_NOT_WITHDRAWN');
    const spec = join(paths.root, 'spec.json');
    await writeFile(spec, '{"config":"7","nodes":{"all":true}}');
    const plan = () => bootwave('ann', 'rollout', 'plan', spec);
    await bootwave('ann', 'config', 'withdraw', '7', '--reason', 'a hole');
    t.regex((await plan()).what ?? '', /configuration 7 is withdrawn: a hole/);
    t.like((await bootwave('ann', 'config', 'list', '--json')).value, [
      { version: '7', withdrawn: 'a hole' },
    ]);
    t.deepEqual((await bootwave('ann', 'config', 'withdraw', '7', '--json')).value.changed, false);
    t.like((await bootwave('ann', 'config', 'reinstate', '7', '--json')).value, { why: 'a hole' });
    t.is((await plan()).exit, 0);

    const id = (await bootwave('ann', 'rollout', 'start', spec, '--json')).value.id;
    t.deepEqual((await bootwave('ann', 'config', 'withdraw', '7', '--json')).value.paused, [id]);
    t.like(await readRollout(redis, id), {
      state: 'paused',
      why: 'configuration 7 is withdrawn: withdrawn by the operator',
    });
    await bootwave('ann', 'config', 'reinstate', '7');

    // Redis has forgotten: the words stand, and do not sink by mistake.
    await redis.del(WITHDRAWN, FLOOR);
    t.is((await bootwave('ann', 'rollout', 'floor', '1.0')).code, 'FLOOR_LOWER');
    t.is((await bootwave('ann', 'image', 'reinstate', '1.0')).exit, 0);
    t.is((await bootwave('ann', 'rollout', 'floor', '1.0', '--lower')).exit, 0);
    const after = await heard.current();
    t.deepEqual([[...after.withdrawn], after.floor], [[], '1.0']);
  },
);
