import test from 'ava';
import fc from 'fast-check';
import { ociConfig, processOf } from '../../../../../image/agent/root/services/oci.ts';
import { placeOf, RANGE, SLOTS } from '../../../../../image/agent/root/services/place.ts';
import { COPY_PROGRAM } from '../../../../../protocol/service/copy.ts';
import { anyManifest, manifestOf } from './any-manifest.ts';

const FOLDERS = {
  copy: null,
  ...{ root: '/run/root', state: '/var/state', shared: '/var/shared' },
  ...{ network: '/run/netns/x', secrets: null },
};

test('whatever a manifest says: no capability, a read-only root, own ids, own namespaces, unknown calls are ENOSYS', (t) => {
  fc.assert(
    fc.property(
      anyManifest,
      fc.nat(SLOTS - 1),
      fc.boolean(),
      fc.boolean(),
      (manifest, slot, keeps, ofSlice) => {
        const place = placeOf(slot);
        const state = keeps ? FOLDERS.state : null;
        const config = ociConfig(manifest, place, { ...FOLDERS, state, copy: ofSlice ? '/copy' : null }, 'x');
        const { process, linux, mounts, root } = config;
        t.deepEqual(Object.values(process.capabilities).flat(), []);
        t.true(process.noNewPrivileges);
        t.false(process.terminal);
        t.deepEqual(process.args, manifest.command);
        t.deepEqual(root, { path: FOLDERS.root, readonly: true });
        const ids = [{ containerID: 0, hostID: place.firstId, size: RANGE }];
        t.deepEqual([linux.uidMappings, linux.gidMappings], [ids, ids]);
        t.deepEqual(linux.namespaces.map(({ type }) => type).sort(), [
          ...['cgroup', 'ipc', 'mount', 'network', 'pid', 'user', 'uts'],
        ]);
        t.is(linux.seccomp.defaultAction, 'SCMP_ACT_ERRNO');
        t.is(linux.seccomp.defaultErrnoRet, 38);
        const plain = new Set(linux.seccomp.syscalls.flatMap((rule) => ('args' in rule ? [] : rule.names)));
        for (const name of [
          'clone',
          'clone3',
          'socket',
          'mount',
          'ptrace',
          'unshare',
          'setns',
          'bpf',
          'keyctl',
        ])
          t.false(plain.has(name), name);
        // From the node come its own state folder, and for reading what is shared with everybody; nothing of what is mounted runs with more rights, or is a device.
        const bound = mounts.filter(({ type }) => !['proc', 'tmpfs'].includes(type));
        t.deepEqual(
          bound.map(({ source }) => source),
          [
            ...(manifest.state !== null && keeps ? [FOLDERS.state] : []),
            ...(manifest.mounts ?? []).map(() => FOLDERS.shared),
            ...(ofSlice ? ['/copy'] : []),
          ],
        );
        for (const { source, options } of bound) t.is(options.includes('ro'), source !== FOLDERS.state);
        for (const { destination, options } of mounts) {
          t.true(options.includes('nosuid'), destination);
          t.true(options.includes('nodev') || destination === '/dev', destination);
          t.is(options.includes('noexec'), destination !== COPY_PROGRAM, destination);
        }
        t.is(new Set(mounts.map(({ destination }) => destination)).size, mounts.length);
        t.deepEqual(JSON.parse(JSON.stringify(config)), config);
      },
    ),
    { numRuns: 200 },
  );
});

test('a health check gets no more than its instance', (t) => {
  const process = processOf(manifestOf({ user: { uid: 5, gid: 6 } }), ['/check']);
  t.deepEqual(Object.values(process.capabilities).flat(), []);
  t.true(process.noNewPrivileges);
  t.deepEqual(process.user, { uid: 5, gid: 6 });
});

test('without a disk the state is a folder in memory, as large as it may be', (t) => {
  const manifest = manifestOf({ state: { path: '/state', bytes: 2 ** 20 } });
  const { mounts } = ociConfig(manifest, placeOf(1), { ...FOLDERS, state: null }, 'x');
  const state = mounts.find(({ destination }) => destination === '/state');
  t.is(state?.type, 'tmpfs');
  t.true(state?.options.includes(`size=${2 ** 20}`));
});

test('a folder of the node lies where the manifest says, in place of memory', (t) => {
  const manifest = manifestOf({ mounts: [{ kind: 'images', path: '/tmp' }] });
  const { mounts } = ociConfig(manifest, placeOf(1), FOLDERS, 'x');
  const there = mounts.filter(({ destination }) => destination === '/tmp');
  t.deepEqual(
    there.map(({ source }) => source),
    [FOLDERS.shared],
  );
});
