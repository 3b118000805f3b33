/** Fencing a node, and what its site consents to, as people say it. */
import { join } from 'node:path';
import test from 'ava';
import { servicesFor } from '../../orchestrator/services/world.ts';
import { commandsOn } from '../in-process.ts';

test.serial(
  'a node is fenced by one person; that it is wiped with nobody asked takes two, and one to take back',
  async (t) => {
    const { fleet, member, paths } = await servicesFor(t);
    const id = await member(1, []);
    const bootwave = commandsOn(t, paths.root);
    for (const [name, role] of [
      ['ann', 'core'],
      ['bob', 'core'],
      ['eve', 'viewer'],
    ] as const)
      await bootwave('root', 'operator', 'add', name, '--role', role, '--out', join(paths.root, name));
    const as = (name: string, ...args: string[]) => bootwave('root', '--as', join(paths.root, name), ...args);
    const policy = async () => (await fleet.sites.get('default')).policy;

    t.is((await as('eve', 'node', 'fence', id, '--reason', 'x')).code, 'OPERATOR_ROLE');
    const wipe = ['site', 'set', 'default', '--recovery', 'wipe', '--json'];
    t.is((await bootwave('anna', ...wipe)).code, 'REQUEST_CERTIFICATE', 'root is not two people');
    const { request } = (await as('ann', ...wipe)).value;
    t.is((await policy()).recovery, 'person');
    t.not((await as('ann', 'request', 'approve', request, '--yes')).exit, 0);
    t.is((await policy()).recovery, 'person');

    const fenced = await as('ann', 'node', 'fence', id, '--reason', 'it talks to strangers');
    t.regex(fenced.out, /is fenced, incident 1; nobody has said .* may be wiped: bootwave site set default/);
    t.is((await fleet.nodes.get(id))?.state, 'quarantined');
    t.regex((await as('ann', 'node', 'fence', id, '--reason', 'again')).out, /is held already/);

    t.is((await as('bob', 'request', 'approve', request, '--yes')).exit, 0);
    t.is((await policy()).recovery, 'wipe');
    t.regex((await as('ann', 'site', 'show', 'default')).out, /disks that Bootwave installed are wiped/);
    t.is((await as('ann', 'site', 'set', 'default', '--recovery', 'person')).exit, 0);
    t.is((await policy()).recovery, 'person');
  },
);
