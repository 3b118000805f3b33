/**
 * Which image `bootwave up` itself hands to a machine while Redis says something else: floor, withdrawals, releases and
 * decisions come from this machine's disk, by the way that the process is put together.
 */
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { Redis } from 'ioredis';
import { mustRun } from '../../../base/run.ts';
import { readManifest } from '../../../image/build/manifest.ts';
import { release } from '../../../image/publish/publish.ts';
import { confirmRecords, rolloutsBegun } from '../../../orchestrator/fleet/decisions/confirm.ts';
import { FleetDirectory } from '../../../orchestrator/fleet/directory.ts';
import { withFleet } from '../../../orchestrator/operators/with-fleet.ts';
import { redisFiles } from '../../../orchestrator/redis/settings.ts';
import { WITHDRAWN } from '../../../orchestrator/releases/withdrawn.ts';
import { recordConsent } from '../../../orchestrator/signer/consents.ts';
import { signerFiles } from '../../../orchestrator/signer/files.ts';
import { startIn, twoWires } from '../../bootserver/sockets-netns.ts';
import { makeInstallation, publish, removeInstallation } from '../doctor/installation.ts';
import { anyImage, certificateFor, enrolment, macOf, pcr11, silent } from '../fleet/support.ts';

const BOOTWAVE = fileURLToPath(new URL('../../../bin/bootwave', import.meta.url));
const by = { actor: 'operator:ann', at: 1 };

test('what people ruled out on this disk is handed to nobody by the running server, whatever Redis wants', async (t) => {
  const paths = await makeInstallation();
  t.teardown(() => removeInstallation(paths));
  for (const version of ['2.0.0', '3.0.0', '4.0.0', '9.9.9']) await publish(paths, version);
  for (const version of ['1.0.0', '2.0.0', '3.0.0', '4.0.0'])
    await release(await readManifest(paths.images, version), { paths });
  const { consents } = signerFiles(paths);
  await recordConsent(consents, { say: 'floor', version: '2.0.0' }, by);
  await recordConsent(consents, { say: 'withdraw', version: '3.0.0' }, by);
  // All three were given to nodes once: that alone lets nothing out again.
  const wants = ['1.0.0', '9.9.9', '3.0.0'];
  await withFleet(paths, async (fleet) => {
    const directory = new FleetDirectory({
      ...anyImage,
      ...{ fleet, site: 'default', pcr11, log: silent },
      defaultImage: async () => '4.0.0',
    });
    for (const [n, image] of wants.entries()) {
      const one = enrolment(n + 1);
      await directory.enrol(one);
      await fleet.approve(one.id, one.words, by);
      await directory.recordCertificate(one.id, certificateFor(one));
      await fleet.nodes.update(one.id, (record) => {
        const wanted = { mode: 'netboot' as const, image, wipe: false };
        const next = { ...record!, wanted, epoch: record!.epoch + 1 };
        return { outcome: { kind: 'changed', record: next, audit: [] } };
      });
    }
    await confirmRecords(fleet, by);
    await fleet.decisions.commit({ records: [] }, [rolloutsBegun(wants, by)]);
  });

  const wires = await twoWires(t);
  const ip = (...args: string[]) => mustRun('ip', ['-n', wires.inside, ...args]);
  await ip('addr', 'add', '10.91.0.9/24', 'dev', 'eth0');
  await startIn(t, wires.server, /^bootwave serves/, BOOTWAVE, [
    ...['--data', paths.root, 'up', '--interface', 'boot0', '--range', '10.91.0.100-10.91.0.110'],
  ]);
  const boots = async (n: number) => {
    const url = `http://10.91.0.1:7080/m/${macOf(n)}/boot.ipxe`;
    const { stdout } = await mustRun('ip', ['netns', 'exec', wires.inside, 'curl', '-sS', '-m', '30', url]);
    return /bootwave_([\d.]+)\.efi/.exec(stdout)?.[1] ?? 'nothing';
  };
  const everybody = async () => [await boots(1), await boots(2), await boots(3), await boots(7)];
  t.deepEqual(await everybody(), ['4.0.0', '4.0.0', '4.0.0', '4.0.0']);

  // Then Redis says that the good ones are withdrawn, so that one that nobody ever gave becomes the newest.
  const redis = new Redis({ path: redisFiles(paths.redis).socket });
  t.teardown(() => redis.quit());
  await redis.hset(WITHDRAWN, { '4.0.0': 'it hangs', '3.0.0': 'it hangs' });
  t.deepEqual(await everybody(), ['nothing', 'nothing', 'nothing', 'nothing']);
});
