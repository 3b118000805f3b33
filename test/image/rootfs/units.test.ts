/** What each unit that listens to others may still do, as systemd itself judges it: 0 is nothing, 10 everything. */
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { run } from '../../../base/run.ts';

const ROOTFS = join(import.meta.dirname, '../../../image/rootfs');
const UNITS = join(ROOTFS, 'usr/lib/systemd/system');

/** Tenths. */
const MOST: Readonly<Record<string, number>> = {
  'bootwave-agent.service': 30,
  'bootwave-log.service': 30,
  'bootwave-helper@.service': 30,
  'bootwave-disk@.service': 30,
  'bootwave-wipe@.service': 30,
  'bootwave-config@.service': 30,
  'bootwave-services@.service': 30,
  'bootwave-flows@.service': 30,
  'bootwave-journal@.service': 30,
  'bootwave-exec@.service': 30,
  'bootwave-rescue@.service': 30,
  'bootwave-smart@.service': 30,
  // It changes into other accounts, which takes what the others never need.
  'bootwave-sshd.service': 50,
};

test('no part of the agent is exposed above 3.0, and sshd not above 5.0', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-units-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  for (const [unit, most] of Object.entries(MOST)) {
    // A template has no exposure, an instance has.
    const file = join(folder, unit.replace('@', '@x'));
    await copyFile(join(UNITS, unit), file);
    const { code, stdout, stderr } = await run('systemd-analyze', [
      ...['security', '--offline=true', '--no-pager', `--threshold=${most}`, file],
    ]);
    t.regex(stdout, /Overall exposure level/, stderr);
    t.is(code, 0, `${unit}: ${stdout.trim().split('\n').at(-1)}`);
  }
});

test('what protects the kernel stands in the image, and in no configuration that a fleet can publish', async (t) => {
  const text = await readFile(join(ROOTFS, 'etc/sysctl.d/50-bootwave.conf'), 'utf8');
  const set = new Map([...text.matchAll(/^(\S+) = (.*)$/gm)].map(([, key, value]) => [key!, value!]));
  const wanted = {
    'kernel.kexec_load_disabled': '1',
    'kernel.kptr_restrict': '2',
    'kernel.dmesg_restrict': '1',
    'kernel.unprivileged_bpf_disabled': '1',
    'kernel.unprivileged_userns_clone': '0',
    'kernel.yama.ptrace_scope': '2',
    'kernel.sysrq': '0',
  };
  for (const [key, value] of Object.entries(wanted)) t.is(set.get(key), value, key);
  const { SYSCTLS } = await import('../../../protocol/configuration/sysctls.ts');
  t.deepEqual(
    [...set.keys()].filter((key) => key in SYSCTLS),
    [],
  );
});
