/** What changes between images, and which nodes have a vulnerability: by what Debian's tracker says of their packages. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { type Manifest, manifestFile } from '../../../image/build/manifest.ts';
import { simManifest } from '../../../lab/sim/images.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { membersFor } from '../../orchestrator/rollout/run/members.ts';
import { commandsOn } from '../in-process.ts';

const packages = (...all: [string, string][]) => all.map(([name, version]) => ({ name, version }));
const IMAGES: Record<string, Partial<Manifest>> = {
  // Built before images recorded their source packages.
  '0.9': { packages: packages(['bash', '5.1-1']) },
  '1.0': {
    packages: packages(['bash', '5.2-1'], ['libssl3', '3.0.15-1'], ['gone', '1']),
    sources: packages(['bash', '5.2-1'], ['openssl', '3.0.15-1'], ['linux', '6.1.140-1']),
  },
  '2.0': {
    packages: packages(['bash', '5.2-1'], ['libssl3', '3.0.17-1']),
    sources: packages(['bash', '5.2-1'], ['openssl', '3.0.17-1'], ['linux', '6.1.192-2']),
    kernel: '6.1.0-56-amd64',
    size: 3_500_000,
  },
};
const here = (entry: object) => ({ releases: { bookworm: { urgency: 'high', ...entry } } });
const TRACKER = {
  openssl: {
    'CVE-2025-0001': here({ status: 'resolved', fixed_version: '3.0.17-1' }),
    'CVE-2025-0002': here({ status: 'open' }),
  },
  linux: { 'CVE-2024-9999': here({ status: 'resolved', fixed_version: '6.1.150-1' }) },
};

test.serial('packages and vulnerabilities of two images; the nodes that have one', async (t) => {
  const { paths, fleet, member } = await membersFor(t);
  await mkdir(paths.images, { recursive: true });
  const publish = (version: string) =>
    writeFile(
      manifestFile(paths.images, version),
      JSON.stringify({ ...simManifest(version), ...IMAGES[version] }),
    );
  await publish('0.9');
  const bootwave = commandsOn(t, paths.root);
  const file = join(paths.root, 'tracker.json');
  await writeFile(file, JSON.stringify(TRACKER));
  t.is((await bootwave('ann', 'image', 'advisories', file)).code, 'ADVISORIES_NO_IMAGE');
  await publish('1.0');
  await publish('2.0');
  t.regex(
    (await bootwave('ann', 'image', 'diff', '1.0', '2.0')).out,
    /not known, no advisories were imported/,
  );
  t.is((await bootwave('ann', 'node', 'list', '--cve', 'CVE-2025-0001')).code, 'ADVISORIES_MISSING');

  const done = await bootwave('ann', 'image', 'advisories', file, '--json');
  t.deepEqual(done.value, { packages: 3, cves: 3, open: 1 }, done.message);
  t.like((await fleet.audit.read()).at(-1), { action: 'import', actor: 'operator:ann' });
  const { out } = await bootwave('ann', 'image', 'diff', '1.0', '2.0');
  t.regex(out, /\+2\.5 MB, kernel 6\.1\.0 \(6\.1\.140-1\) -> 6\.1\.0-56-amd64 \(6\.1\.192-2\)/);
  t.regex(out, /gone +1 +-\nlibssl3 +3\.0\.15-1 +3\.0\.17-1/);
  t.notRegex(out, /bash/);
  t.regex(out, /fixed: 2\n {2}CVE-2024-9999 {2}linux 6\.1\.140-1, fixed in 6\.1\.150-1\n {2}CVE-2025-0001/);
  t.regex(out, /new: 0\nin both: 1, of which 0 are fixed/);
  t.like((await bootwave('ann', 'image', 'diff', '2.0', '1.0', '--json')).value.cves, {
    fixed: [],
    come: [{ cve: 'CVE-2024-9999' }, { cve: 'CVE-2025-0001' }],
  });
  t.regex(
    (await bootwave('ann', 'image', 'diff', '0.9', '2.0')).out,
    /0\.9 was built before images recorded/,
  );

  await member(1, '1.0');
  await member(2, '2.0');
  await member(3, '0.9');
  const nodes = async (cve: string) => {
    const { value } = await bootwave('ann', 'node', 'list', '--cve', cve, '--json');
    return [value.nodes.length, value.nodes[0]?.observed.image, value.cve.clear, value.cve.unknown.length];
  };
  t.deepEqual(await nodes('CVE-2025-0001'), [1, '1.0', ['2.0'], 1]);
  t.deepEqual(await nodes('CVE-2025-0002'), [2, '1.0', [], 1]);
  t.deepEqual(await nodes('CVE-2025-4444'), [0, undefined, ['2.0', '1.0'], 1]);
  const listed = await bootwave('ann', 'node', 'list', '--cve', 'CVE-2025-0001');
  t.regex(
    listed.out,
    /image 1\.0 has it: CVE-2025-0001 {2}openssl 3\.0\.15-1, fixed in 3\.0\.17-1\nwithout it: 2\.0\nNOT KNOWN of /,
  );
  t.is((await bootwave('ann', 'node', 'list', '--cve', 'openssl')).code, 'INPUT_INVALID');

  // A manifest that cannot be read hides no other image, and its nodes are not counted as safe.
  await writeFile(manifestFile(paths.images, '2.0'), '{');
  t.deepEqual(await nodes('CVE-2025-0002'), [1, '1.0', [], 2]);
  t.deepEqual(await nodes('CVE-2025-4444'), [0, undefined, ['1.0'], 2]);
  await publish('2.0');

  // Nor is an image with a package that was in none when the advisories were imported.
  await writeFile(
    manifestFile(paths.images, '3.0'),
    JSON.stringify({ ...simManifest('3.0'), sources: packages(['bash', '5.2-1'], ['curl', '7.88-1']) }),
  );
  await member(4, '3.0');
  t.deepEqual(await nodes('CVE-2025-4444'), [0, undefined, ['2.0', '1.0'], 2]);
  t.regex(
    (await bootwave('ann', 'node', 'list', '--cve', 'CVE-2025-4444')).out,
    /NOT KNOWN of image 3\.0, 0\.9/,
  );
  t.regex(
    (await bootwave('ann', 'image', 'diff', '2.0', '3.0')).out,
    /nothing was imported of curl: import again/,
  );
  // The kernel's name stays when only its version changes.
  const linux = packages(['linux', '6.1.193-1']);
  const patched = { ...simManifest('4.0'), ...IMAGES['2.0'], version: '4.0', sources: linux };
  await writeFile(manifestFile(paths.images, '4.0'), JSON.stringify(patched));
  t.regex(
    (await bootwave('ann', 'image', 'diff', '2.0', '4.0')).out,
    /\(6\.1\.192-2\) -> 6.*\(6\.1\.193-1\)/,
  );
  // A record that cannot be read may be of any node.
  const [id] = await fleet.nodes.ids();
  await fleet.redis.hset(KEYS.node(id!), 'body', '{');
  t.regex(
    (await bootwave('ann', 'node', 'list', '--cve', 'CVE-2025-4444')).out,
    new RegExp(id!.slice(0, 12)),
  );

  // What cannot be read is said, and a file that is none of the tracker's leaves what was imported.
  const stored = join(paths.root, 'advisories.json');
  const before = await readFile(stored, 'utf8');
  await writeFile(file, 'root:x:0:0');
  const refused = await bootwave('ann', 'image', 'advisories', file);
  t.is(refused.code, 'TRACKER_MALFORMED');
  t.notRegex(refused.message, /root:/);
  t.is(await readFile(stored, 'utf8'), before);
  await writeFile(stored, '{"at":1}');
  t.is((await bootwave('ann', 'image', 'diff', '1.0', '2.0')).code, 'ADVISORIES_MALFORMED');
});
