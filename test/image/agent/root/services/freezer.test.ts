/** With the kernel's own freezer, and systemd's own program that writes to it. */
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { freezerText, runsOn, untilSo } from '../../../../../image/agent/root/services/freezer.ts';
import { instanceCgroup } from '../../../../../protocol/agent/units.ts';
import { box } from './box.ts';

for (const name of ['fleet/web', 'fleet/web@shop', 'fleet/web-2@a-b'])
  test(`${name} stops where it stands, also what it begins, and goes on`, async (t) => {
    const node = await box(t);
    const cgroups = '/sys/fs/cgroup';
    const seen = { cgroups: join(node.root, cgroups) };
    const folder = join(seen.cgroups, instanceCgroup(name));
    // Cgroups are the whole machine's. By then its programs are killed: the last of these comes first.
    t.teardown(async () => {
      while ((await runsOn(name, seen)) !== null) await sleep(20);
      const parts = instanceCgroup(name).split('/');
      for (; parts.length > 0; parts.pop()) await rmdir(join(seen.cgroups, ...parts)).catch(() => {});
    });
    t.is(await runsOn(name, seen), null);
    await mkdir(folder, { recursive: true });
    t.is(await runsOn(name, seen), null, 'it has no programs');
    const count = join(node.folder, 'count');
    const counts = `echo 0 > ${cgroups}/${instanceCgroup(name).replaceAll('\\', '\\\\')}/cgroup.procs; while :; do busybox sleep 0.02; echo x >> ${count}; done`;
    node.beside('busybox', 'sh', '-c', counts);
    while ((await runsOn(name, seen)) !== true) await sleep(20);
    const freeze = async (isFrozen: boolean) => {
      const file = join(node.folder, 'freezer.conf');
      await writeFile(file, freezerText(name, isFrozen, { cgroups }));
      await node.must('systemd-tmpfiles', '--create', file);
      t.true(await untilSo(name, isFrozen, seen));
    };
    const written = () => readFile(count, 'utf8').catch(() => '');
    const more = async (than: string) => {
      while ((await written()).length <= than.length) await sleep(20);
    };
    await more('');
    await freeze(true);
    const before = await written();
    await sleep(300);
    t.is(await written(), before);
    t.is(await runsOn(name, seen), false);
    await freeze(false);
    await more(before);
  });
