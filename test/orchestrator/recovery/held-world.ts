/** A server with a real Redis, its signer, and one member of which it knows the disk. */
import { generateKeyPairSync } from 'node:crypto';
import type { ExecutionContext } from 'ava';
import { FleetDirectory } from '../../../orchestrator/fleet/directory.ts';
import type { Policy } from '../../../orchestrator/fleet/site.ts';
import { fence } from '../../../orchestrator/recovery/fence.ts';
import { Held } from '../../../orchestrator/recovery/held.ts';
import { type OrderEnvelope, orderKeyId, verifyOrder } from '../../../protocol/order-envelope.ts';
import { server } from '../../attack/redis/server.ts';
import { realSigner } from '../../support/real-signer.ts';
import { anyImage, beatOfBoot, certificateFor, enrolment, pcr11, START, silent } from '../fleet/support.ts';

export const DISK = '0x5000c500a1b2c3d4';
export const BY = { actor: 'operator:ann', at: START };
export const ODD = {
  signal: 'operator',
  evidence: ['ann: it talks to strangers'],
  reason: 'it talks to strangers',
};

export async function heldWorld(t: ExecutionContext) {
  const world = await server(t);
  const { fleet, paths } = world;
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const signer = await realSigner(paths, privateKey, {}, () => START);
  t.teardown(() => signer.close());
  const breaker: { why: string | null } = { why: null };
  const clock = { now: START };
  const recovery = new Held({
    ...{ fleet, folder: paths.evidence, signer: signer.client, log: silent, now: () => clock.now },
    breaker: (act) => (act === 'wipe' ? breaker.why : null),
  });
  const bans = world.bans;
  const directory = new FleetDirectory({
    ...anyImage,
    ...{ fleet, site: 'default', pcr11, log: silent, recovery, bans },
    defaultImage: async () => '1.0',
    now: () => START,
  });
  const one = enrolment(1);
  const { id } = one;
  await directory.enrol(one);
  await fleet.approve(id, one.words, BY);
  await directory.recordCertificate(id, certificateFor(one));
  await directory.heartbeat(id, certificateFor(one).serial, beatOfBoot(one));
  await fleet.nodes.update(id, (record) => ({
    outcome: {
      kind: 'changed',
      audit: [],
      record: {
        ...record!,
        epoch: record!.epoch + 1,
        ...{ disks: [DISK], installedAt: START, wanted: { ...record!.wanted, mode: 'installed' } },
      },
    },
  }));
  const says = (recovery: Policy['recovery']) => fleet.sites.set('default', { recovery }, BY);
  const restarts = (boot: number, change: Parameters<typeof enrolment>[2] = {}) =>
    directory.enrol(enrolment(1, boot, change));
  const report = { incident: 1, wiped: [DISK], left: [], open: [] };
  /** What its TPM quotes in this boot, with which it says what it has wiped. */
  const shown = (boot: number, change: Parameters<typeof enrolment>[2] = {}) => {
    const { akName, pcrs, clock, firmware, nonceNumber, address, at } = enrolment(1, boot, change);
    return { akName: akName!, pcrs: pcrs!, clock: clock!, firmware, nonceNumber, address, at };
  };
  const opened = (envelope: OrderEnvelope | null) =>
    verifyOrder(envelope, new Map([[orderKeyId(publicKey), publicKey]]), {
      nodeId: id,
      now: START,
      last: null,
    }).order;
  const stands = () => fleet.decisions.incidents.of(id);
  const fences = (signal = ODD.signal) => fence(fleet, id, { ...ODD, signal }, BY);
  return {
    ...world,
    signer: signer.client,
    breaker,
    clock,
    directory,
    recovery,
    one,
    id,
    says,
    restarts,
    report,
    shown,
    opened,
    stands,
    fences,
  };
}
