import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { planNodes } from '../../../orchestrator/rollout/run/facts.ts';
import {
  beatOfBoot,
  certificateFor,
  enrolment,
  fleetFor,
  inventory,
} from '../../orchestrator/fleet/support.ts';
import { commandsOn } from '../in-process.ts';

/** web1 and web2 of one model, and web2 with half of the memory. */
async function pair(t: ExecutionContext) {
  const world = await fleetFor(t);
  const { fleet, directory, by } = world;
  for (const n of [1, 2]) {
    const e = enrolment(n, 1, { inventory: inventory(n, { memory: 2 ** (n === 1 ? 33 : 32) }) });
    await directory.enrol(e);
    await fleet.approve(e.id, e.words, by(), `web${n}`);
    await directory.recordCertificate(e.id, certificateFor(e));
    await directory.heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e));
  }
  return { ...world, bootwave: commandsOn(t, world.paths.root) };
}

const MODEL = 'QEMU Standard PC';
const WHY = ['--reason', 'it is a good one'];

test.serial('learnt from a good node, shown where people look, and taken back', async (t) => {
  const { bootwave, fleet, directory } = await pair(t);
  t.regex((await bootwave('anna', 'profile', 'list')).out, /^no profile yet/);
  t.is((await bootwave('anna', 'profile', 'show', MODEL)).code, 'PROFILE_UNKNOWN');
  await directory.enrol(enrolment(3));
  const stranger = await bootwave('anna', 'profile', 'learn', enrolment(3).id, ...WHY);
  t.is(stranger.code, 'PROFILE_NODE', 'whoever asks to be let in teaches nothing');

  const learnt = await bootwave('anna', 'profile', 'learn', 'web1', ...WHY);
  t.regex(learnt.out, /^QEMU Standard PC: 2 nodes, hold$/m);
  t.regex(learnt.out, /by operator:anna: as web1: it is a good one$/m);
  const short = /^web2: it has 4 GiB of 8 GiB of memory$/m;
  t.regex(learnt.out, short);
  t.regex((await bootwave('anna', 'profile', 'list')).out, short);
  const list = (await bootwave('anna', 'node', 'list')).out;
  t.regex(list, short);
  t.regex(list, /^pending, hardware falls short/m, 'before a person lets it in');
  t.regex(list, /^healthy, hardware falls short +web2/m);
  t.regex(
    (await bootwave('anna', 'node', 'show', 'web2')).out,
    /falls short +it has 4 GiB of 8 GiB of memory/,
  );
  t.notRegex((await bootwave('anna', 'node', 'show', 'web1')).out, /falls short/);

  const plan = async () =>
    (await planNodes(fleet, [])).filter(({ shortfall }) => shortfall != null).map(({ name }) => name);
  t.true((await plan()).includes('web2'));
  t.false((await plan()).includes('web1'));
  await bootwave('anna', 'profile', 'learn', 'web1', '--policy', 'report', ...WHY);
  t.deepEqual(await plan(), [], 'only shown');
  await bootwave('anna', 'profile', 'learn', 'web1', ...WHY);

  t.is(
    (await bootwave('anna', 'profile', 'learn', 'web2', '--site', 'nowhere', ...WHY)).code,
    'SITE_UNKNOWN',
  );
  await bootwave('anna', 'profile', 'learn', 'web2', '--site', 'default', ...WHY);
  t.false((await plan()).includes('web2'), "the site's own counts there");
  await bootwave('anna', 'profile', 'remove', MODEL, '--site', 'default', ...WHY);
  t.true((await plan()).includes('web2'));

  const gone = await bootwave('anna', 'profile', 'remove', MODEL, ...WHY);
  t.is(gone.out, `nothing is asked any more of ${MODEL}`);
  t.deepEqual(await plan(), []);
  t.is((await bootwave('anna', 'profile', 'remove', MODEL, ...WHY)).code, 'PROFILE_UNKNOWN');
  const told = (await fleet.audit.read({})).filter(({ action }) => action === 'profile');
  t.is(told.length, 6);
});

test.serial('written by hand; what is wrong with the file is said, and nothing is kept', async (t) => {
  const { bootwave, paths } = await pair(t);
  const file = join(paths.root, 'profile.json');
  const set = () => bootwave('anna', 'profile', 'set', MODEL, file, ...WHY);
  t.is((await set()).code, 'PROFILE_FILE');
  for (const text of ['{', '3', 'null']) {
    await writeFile(file, text);
    t.is((await set()).code, 'PROFILE_FILE', text);
  }
  for (const wrong of [{ memory: -1 }, { memori: 3 }, { disks: [{ count: 257, size: 1 }] }]) {
    await writeFile(file, JSON.stringify(wrong));
    t.is((await set()).code, 'INPUT_INVALID', JSON.stringify(wrong));
  }
  t.regex((await bootwave('anna', 'profile', 'list')).out, /^no profile yet/);
  await writeFile(file, JSON.stringify({ disks: [{ count: 2, size: 1024 }] }));
  t.regex((await set()).out, /^web1: it has 1 of 2 disks of 0 GiB$/m);
});

test.serial(
  'a member keeps the model that it was let in as: another name shakes its profile off no more',
  async (t) => {
    const { bootwave, directory } = await pair(t);
    await bootwave('anna', 'profile', 'learn', 'web1', ...WHY);
    const other = inventory(2, { memory: 2 ** 32, product: 'Toaster' });
    await directory.enrol(enrolment(2, 2, { inventory: other }));
    const { value } = await bootwave('anna', 'profile', 'list', '--json');
    t.deepEqual(value[0].short, [
      {
        name: 'web2',
        flaws: [
          'it says that it is a QEMU Toaster, and was let in as a QEMU Standard PC',
          'it has 4 GiB of 8 GiB of memory',
        ],
      },
    ]);
  },
);
