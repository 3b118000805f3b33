/**
 * A member, and a machine that is none, send anything in any field of any message to a boot server: a refusal with a code, or
 * nothing changes for anybody else.
 */
import { randomBytes, sign } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { BootwaveError } from '../../../base/error.ts';
import type { NodeDirectory } from '../../../bootserver/directory.ts';
import { commit } from '../../../orchestrator/fleet/commit.ts';
import { FleetDirectory } from '../../../orchestrator/fleet/directory.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { issuedChange, readIssued } from '../../../orchestrator/orders/issued.ts';
import { extraData } from '../../../protocol/enrolment/extra-data.ts';
import { PATHS, statusReply } from '../../../protocol/enrolment/messages.ts';
import { deviceNodeId } from '../../../protocol/enrolment/node-id.ts';
import type { MemoryDirectory } from '../../bootserver/enroll/support/directory.ts';
import { Fleet, serve } from '../../bootserver/enroll/support/fleet.ts';
import { HonestNode, RUNNING, Wire } from '../../bootserver/enroll/support/node.ts';
import {
  anyImage,
  beatOfBoot,
  certificateFor,
  enrolment,
  fleetFor,
  inventory,
  macOf,
  pcr11,
  silent,
  withoutTpm,
} from '../../orchestrator/fleet/support.ts';
import { orderOf } from '../../orchestrator/signer/orders.ts';
import { changed } from '../redis/any.ts';

/** More where there is time: ATTACK_RUNS=5000. */
const RUNS = Number(process.env.ATTACK_RUNS ?? 120);

/** Others: a member with a TPM and an order, one without a TPM, one that waits, one that a person has rejected. */
const BARE = inventory(12, { tpm: null });
const OTHERS = [
  enrolment(11),
  withoutTpm(12, 1, { id: deviceNodeId(BARE), inventory: BARE }),
  enrolment(13),
  enrolment(14),
] as const;
const WITH_TPM = OTHERS[0];

async function world(t: ExecutionContext) {
  const keys = await Fleet.make();
  t.teardown(() => keys.remove());
  const { redis, fleet, by } = await fleetFor(t);
  const directory = new FleetDirectory({
    ...anyImage,
    ...{ fleet, site: 'default', defaultImage: async () => '1.0', pcr11, log: silent },
    // Heard for as long as this takes, however long that is.
    heartbeatSeconds: 3600,
  });
  const now = Date.now();
  for (const one of OTHERS) await directory.enrol({ ...one, at: now });
  for (const one of OTHERS.slice(0, 2)) {
    await fleet.approve(one.id, one.words, by());
    const certificate = { ...certificateFor(one), notBefore: now, notAfter: now + 3600_000 };
    await directory.recordCertificate(one.id, certificate);
    await directory.heartbeat(one.id, certificate.serial, beatOfBoot(one));
  }
  // Not what new hardware gets.
  for (const { id } of OTHERS.slice(0, 2))
    await fleet.nodes.update(id, (record) => {
      const next = { ...record!, wanted: { ...record!.wanted, image: '2.0' }, epoch: record!.epoch + 1 };
      return { outcome: { kind: 'changed', record: next, audit: [] } };
    });
  await fleet.reject(OTHERS[3].id, 'unknown', by());
  const order = orderOf({ node: WITH_TPM.id }, now);
  await commit(redis, { records: [issuedChange(undefined, { order, rollout: 'ro-1', kind: 'stage' })] });
  const faults: string[] = [];
  /** What is no refusal of ours, but went wrong. */
  const watched = new Proxy(directory, {
    get(of, name) {
      const found = Reflect.get(of, name) as unknown;
      if (typeof found !== 'function') return found;
      return async (...args: unknown[]) => {
        try {
          return await found.apply(of, args);
        } catch (error) {
          const { cause, code } = error as BootwaveError;
          if (code === 'DIRECTORY_UNAVAILABLE' || !(error instanceof BootwaveError))
            faults.push(`${String(name)}: ${(cause as Error | undefined)?.stack ?? String(error)}`);
          throw error;
        }
      };
    },
  }) as NodeDirectory as MemoryDirectory;
  const server = await serve(keys, { directory: watched, hold: { most: 30, look: 10 } });
  const stranger = new Wire(server.url, keys.root);
  const machine = new HonestNode(null, null);
  const { session } = await stranger.start();
  const opened = { session, ...(await stranger.keys(machine.keysRequest(session))) };
  const { id, words } = await stranger.server.post(
    PATHS.proof,
    await machine.proofRequest(opened),
    statusReply,
  );
  await fleet.approve(id, words, by());
  const reply = await stranger.server.post(PATHS.status, { session }, statusReply);
  if (reply.state !== 'approved') throw new Error(reply.state);
  const key = machine.key.export({ type: 'pkcs8', format: 'pem' }).toString();
  const member = new Wire(server.url, keys.root, { key, chain: reply.chain });
  t.teardown(async () => {
    for (const wire of [stranger, member]) wire.close();
    await server.stop();
  });
  /** All that the fleet says of the others, and gives them. */
  const others = async () => {
    const ids: string[] = OTHERS.map((one) => one.id);
    const serials = Object.entries(await redis.hgetall(KEYS.certificates));
    return {
      records: await fleet.nodes.getMany(ids),
      decisions: await Promise.all(OTHERS.map((one) => directory.decisionOf(one.id, one.spkiDigest))),
      boots: await Promise.all(
        [11, 12, 13, 14].map(async (n) => {
          // The reason names whoever showed a MAC of one that was never let in: it has no claim to that.
          const { reason: _, ...intent } = await directory.bootIntent({ mac: macOf(n) });
          return intent;
        }),
      ),
      orders: [...(await readIssued(redis, ids))],
      certificates: serials.filter(([, owner]) => ids.includes(owner)).sort(),
    };
  };
  return { member, stranger, machine, others, faults, id };
}

const taken = OTHERS.flatMap(({ id, ekDigest, akName, spkiDigest, hostKey }) => [
  ...[id, ekDigest, akName, spkiDigest, hostKey],
]);
const value = fc.oneof(
  fc.constantFrom<unknown>(...taken, ...[11, 12, 13, 14].flatMap((n) => [macOf(n), `SN${n}`])),
  fc.constantFrom<unknown>(
    inventory(11),
    inventory(12, { tpm: null }),
    inventory(13).nics,
    inventory(12).nics,
  ),
  fc.constantFrom<unknown>(true, false, null, 0, 1, -1, 2 ** 53, 0.5, '', '1.0', '2.0', 'default', {}, []),
  fc.constantFrom<unknown>('\u0000', '\ud800', '../../x', '__proto__', 'a'.repeat(300), '{bootwave}:node:x'),
  fc.string({ maxLength: 30, unit: 'binary' }),
  fc.jsonValue({ maxDepth: 2 }),
);
const said = fc.record({
  to: fc.constantFrom('heartbeat', 'nonce', 'attest', 'start', 'keys', 'keys', 'proof', 'status', 'time'),
  as: fc.constantFrom('member', 'stranger'),
  /** Whose inventory it shows before anything is changed. */
  shows: fc.constantFrom(null, 11, 12, 13, 14),
  changes: fc.array(fc.record({ field: fc.nat(), value }), { maxLength: 3 }),
});

test('whatever is sent, it is refused with a code, or the others stay what they are and get what they got', async (t) => {
  const { member, stranger, machine, others, faults, id } = await world(t);
  const before = await others();
  t.deepEqual(
    before.boots.map((intent) => ('version' in intent ? intent.version : intent.kind)),
    ['2.0', '2.0', '1.0', '1.0'],
  );
  t.deepEqual(
    before.decisions.map(({ state }) => state),
    ['approved', 'approved', 'pending', 'rejected'],
  );
  const hex = (bytes: number) => randomBytes(bytes).toString('hex');
  let taken = 0;
  await fc.assert(
    fc.asyncProperty(said, async ({ to, as, shows, changes }) => {
      const wire = as === 'member' ? member : stranger;
      const bent = <T>(body: T): T =>
        JSON.parse(changes.reduce((text, one) => changed(text, one.field, one.value), JSON.stringify(body)));
      const send = async (path: string, body: unknown) => {
        const answer: unknown = await wire.send(path, body);
        taken += 1;
        return answer as never;
      };
      const open = async () => {
        const { session } = await wire.start();
        const honest = machine.keysRequest(session);
        const inventoryOf = shows === null ? honest.inventory : inventory(shows, { tpm: null });
        const request = { ...honest, inventory: inventoryOf };
        const asked = to === 'keys' ? bent(request) : request;
        const { nonce }: { nonce: string } = await send(PATHS.keys, asked);
        const message = extraData(Buffer.from(nonce, 'hex'), Buffer.from(asked.csr, 'base64'), asked.hostKey);
        const signature = sign('sha256', message, machine.key).toString('base64');
        return { session, secret: null, quote: null, signature };
      };
      const running = { ...RUNNING };
      const quote = { attest: 'AAAA', signature: 'AAAA', pcrs: { '7': hex(32) }, eventLog: null };
      try {
        if (to === 'keys' || to === 'proof') {
          const proof = await open();
          await send(PATHS.proof, to === 'proof' ? bent(proof) : proof);
          await send(PATHS.status, { session: proof.session });
        } else {
          const body = {
            heartbeat: { running, uptime: 5, healthy: true, reason: '' },
            attest: { ak: 'AAAA', quote },
            status: { session: hex(16) },
            time: { nonce: hex(32) },
            ...{ nonce: {}, start: {} },
          }[to];
          await send(PATHS[to], changes.length === 0 ? body : bent({ ...body, x: 1 }));
        }
      } catch (error) {
        t.true(error instanceof BootwaveError, String(error));
        t.regex((error as BootwaveError).code, /^[A-Z][A-Z0-9_]+$/);
        t.notRegex((error as BootwaveError).message, /HTTP 500/);
      }
      t.deepEqual(faults, []);
      t.deepEqual(await others(), before);
    }),
    { numRuns: RUNS, includeErrorInReport: true },
  );
  t.true(taken > RUNS / 8, `${taken} messages were taken`);
  t.truthy(id);
});
