/** What was tried with every right over Redis to have a machine boot an image that people have ruled out. */
import test, { type ExecutionContext } from 'ava';
import { FleetDirectory } from '../../../orchestrator/fleet/directory.ts';
import {
  certificateFor,
  enrolment,
  fleetFor,
  macOf,
  pcr11,
  silent,
} from '../../orchestrator/fleet/support.ts';

async function bootServer(t: ExecutionContext, fromRedis: string | null) {
  const world = await fleetFor(t);
  const directory = new FleetDirectory({
    ...{ fleet: world.fleet, site: 'default', pcr11, log: silent },
    defaultImage: async () => fromRedis,
    // Of this machine's disk: what people signed, and the signed metadata.
    imageRules: async () => ({ floor: '2.0', withdrawn: new Set(['2.1']) }),
    released: async () => new Set(['1.0', '2.0', '2.1', '2.2']),
  });
  const one = enrolment(1);
  // From before the floor was set.
  await world.directory.enrol(one);
  await world.fleet.approve(one.id, one.words, world.by());
  await world.directory.recordCertificate(one.id, certificateFor(one));
  const want = (image: string | null) =>
    world.fleet.nodes.update(one.id, (record) => {
      const wanted = { mode: 'netboot' as const, image, wipe: false };
      return {
        outcome: { kind: 'changed', record: { ...record!, wanted, epoch: record!.epoch + 1 }, audit: [] },
      };
    });
  const boots = async (n: number) => {
    const intent = await directory.bootIntent({ mac: macOf(n) });
    return intent.kind === 'image' ? intent.version : intent.kind;
  };
  return { want, boots };
}

for (const [what, image] of [
  ['below the floor', '1.0'],
  ['withdrawn', '2.1'],
  ['on the disk of the boot server, and never released', '9.9'],
] as const) {
  test(`rewritten: a diskless node is wanted on an image that is ${what}; it gets one that may run`, async (t) => {
    const { want, boots } = await bootServer(t, '2.2');
    await want('2.0');
    t.is(await boots(1), '2.0');
    await want(image);
    t.is(await boots(1), '2.2');
  });

  test(`rewritten: floors and withdrawals, until the image for new hardware is ${what}; nobody gets one`, async (t) => {
    const { want, boots } = await bootServer(t, image);
    await want(image);
    t.is(await boots(1), 'refuse');
    t.is(await boots(7), 'refuse', 'a machine that nobody has seen');
  });
}
