/** What an admin types at three in the morning, on a fleet whose Redis is believed only what was decided. */
import test from 'ava';
import { checkIncidents } from '../../../orchestrator/doctor/incidents.ts';
import { decideIncident, readIncident } from '../../../orchestrator/recovery/incidents.ts';
import { SIGNAL_CODES } from '../../../orchestrator/recovery/signals.ts';
import { servicesFor } from '../../orchestrator/services/world.ts';
import { commandsOn } from '../in-process.ts';

test.serial(
  'a broken node by a person’s word: shown everywhere, given to a person, begun anew, ended',
  async (t) => {
    const { fleet, member, paths } = await servicesFor(t);
    const id = await member(1, []);
    const { name } = (await fleet.nodes.get(id))!;
    const bootwave = commandsOn(t, paths.root);
    t.is(
      (await bootwave('anna', 'incident', 'list')).out,
      'no node is being recovered, and none waits for a person',
    );
    t.is((await bootwave('anna', 'incident', 'show', name)).code, 'INCIDENT_NONE');
    const begun = await bootwave('anna', 'node', 'recover', name, '--reason', 'it hangs');
    t.regex(begun.out, new RegExp(`^incident 1 of ${name}: broken, open \\(it hangs\\)`));
    t.is((await bootwave('anna', 'node', 'recover', name, '--reason', 'again')).code, 'INCIDENT_OPEN');
    t.regex((await bootwave('anna', 'node', 'show', name)).out, /incident 1 of .*: broken, open/);
    t.is((await bootwave('anna', 'incident', 'retry', name, '--reason', 'go on')).code, 'INCIDENT_STEP');
    t.like(await checkIncidents(paths), { status: 'ok' });

    const person = {
      step: 'person' as const,
      reason: 'nothing that was tried has helped',
      tries: { cycle: 2 },
    };
    await decideIncident(fleet, id, (known) => ({ ...known!, ...person }), {
      actor: 'recovery',
      at: Date.now(),
    });
    t.like(await checkIncidents(paths), { status: 'warn' });
    const list = (await bootwave('anna', 'incident', 'list')).out;
    t.regex(list, /^to do:$/m);
    t.regex(list, new RegExp(`^${name}: go to ${name}`, 'm'));
    const { out } = await bootwave('anna', 'incident', 'show', name);
    for (const line of [
      /seen: operator:.*it hangs/,
      /tried: cycle 2 times/,
      /where: site default, rack not known/,
      /serial number SN1/,
      /bring: /,
    ])
      t.regex(out, line);
    t.regex(
      (await bootwave('anna', 'incident', 'retry', name, '--reason', 'new cable')).out,
      /open \(operator:.*: new cable\)/,
    );
    t.regex(
      (await bootwave('anna', 'incident', 'end', name, '--reason', 'it was the cable')).out,
      /broken, ended/,
    );
    t.is((await bootwave('anna', 'incident', 'list', '--all', '--json')).value.length, 1);
    t.is((await bootwave('anna', 'incident', 'list', '--json')).value.length, 0);
  },
);

test.serial(
  'a fenced node is not let go by a word; what a site does by itself, and when signals count, is said',
  async (t) => {
    const { fleet, member, paths } = await servicesFor(t);
    const id = await member(1, []);
    const { name } = (await fleet.nodes.get(id))!;
    const bootwave = commandsOn(t, paths.root);
    await bootwave('anna', 'node', 'fence', name, '--reason', 'it talks to strangers');
    t.regex((await bootwave('anna', 'incident', 'list')).out, /restart .* by its button/);
    t.is((await bootwave('anna', 'incident', 'end', name, '--reason', 'fine')).code, 'INCIDENT_HELD');
    t.like(await readIncident(fleet, id), { step: 'fenced' });

    t.is((await bootwave('anna', 'incident', 'signals', '--json')).value.length, SIGNAL_CODES.length);
    const rules = ['--signal', 'silent=45', '--signal', 'boot-loop=6/120', '--signal', 'ill=off'];
    const set = await bootwave('anna', 'site', 'set', 'default', '--automation', 'fence', ...rules);
    for (const line of [
      /automation: repairs broken nodes, and fences/,
      /signal silent: counts after 45 min/,
      /signal boot-loop: counts after 6 times within 120 min/,
      /signal ill: does not count/,
    ])
      t.regex(set.out, line);
    const back = await bootwave('anna', 'site', 'set', 'default', '--signal', 'silent=usual');
    t.notRegex(back.out, /signal silent/);
    t.regex(back.out, /signal ill/);
    t.is((await bootwave('anna', 'site', 'set', 'default', '--signal', 'sound=1')).code, 'SIGNAL_UNKNOWN');
    const { policy } = await fleet.sites.get('default');
    t.deepEqual(policy.signals, { 'boot-loop': { times: 6, minutes: 120 }, ill: 'off' });
  },
);
