/** Members that attest between two enrolments: real TLS with their own certificates, real TPMs, and what must not count. */
import { createHash, createPublicKey } from 'node:crypto';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { BootwaveError } from '../../../base/error.ts';
import { mustRun } from '../../../base/run.ts';
import { EVENT } from '../../../formats/efi/event-log.ts';
import { parseQuote } from '../../../formats/tpm/quote.ts';
import { Tpm } from '../../../image/agent/root/tpm.ts';
import { wentBack } from '../../../orchestrator/fleet/tpm-clock.ts';
import { reattestData } from '../../../protocol/enrolment/extra-data.ts';
import { heartbeatReply, nonceReply } from '../../../protocol/enrolment/heartbeat.ts';
import { PATHS, statusReply } from '../../../protocol/enrolment/messages.ts';
import {
  authority,
  eventLog,
  FLEET_KEYS,
  keyEvents,
  OTHER_CERTIFICATE,
  variable,
  type Written,
} from './support/event-log.ts';
import { Fleet, serve } from './support/fleet.ts';
import { type HonestNode, RUNNING, Wire } from './support/node.ts';
import { twoMachines } from './support/pair.ts';
import { RogueTpm, SOUND } from './support/rogue.ts';

const DAY = 24 * 3600_000;
const fleet = await Fleet.make();
const { folders, software, otherSoftware, node, other, stop } = await twoMachines(fleet);
const rogue = new RogueTpm(folders[0], software);

test.after.always(async () => {
  await stop();
  await fleet.remove();
});

async function setup(t: ExecutionContext, options: Parameters<typeof serve>[1] = {}) {
  const server = await serve(fleet, {
    attestSeconds: 1800,
    secureBootKeys: async () => FLEET_KEYS,
    ...options,
  });
  const plain = new Wire(server.url, fleet.root);
  const closing: (() => unknown)[] = [() => plain.close()];
  t.teardown(async () => {
    for (const close of closing) close();
    await server.stop();
  });
  /** Enrolled and approved, and connected with its certificate. */
  const member = async (machine: HonestNode, eventLog?: string) => {
    const { session } = await plain.start();
    const opened = { session, ...(await plain.keys(machine.keysRequest(session))) };
    const proof = await machine.proofRequest(opened);
    if (eventLog !== undefined) proof.quote!.eventLog = eventLog;
    const first = await plain.server.post(PATHS.proof, proof, statusReply);
    server.directory.decisions.set(first.id, { state: 'approved', name: 'n1' });
    const reply = await plain.server.post(PATHS.status, { session }, statusReply);
    if (reply.state !== 'approved') throw new Error(reply.state);
    const key = machine.key.export({ type: 'pkcs8', format: 'pem' }).toString();
    const wire = new Wire(server.url, fleet.root, { key, chain: reply.chain });
    closing.push(() => wire.close());
    return { wire, id: first.id };
  };
  return { server, directory: server.directory, member };
}

const spkiOf = (machine: HonestNode) => createPublicKey(machine.key).export({ type: 'spki', format: 'der' });

async function challenge(wire: Wire): Promise<Buffer> {
  return Buffer.from((await wire.server.post(PATHS.nonce, {}, nonceReply)).nonce, 'hex');
}

async function refusedWith(t: ExecutionContext, code: string, work: Promise<unknown>): Promise<void> {
  const error = await t.throwsAsync(work, { instanceOf: BootwaveError });
  t.is(error.code, code);
}

test.serial('a member is told when to attest, does so over a fresh nonce, and once for each', async (t) => {
  const { directory, member } = await setup(t);
  const { wire, id } = await member(node);
  const beat = { running: RUNNING, uptime: 1, healthy: true, reason: '' };
  t.is((await wire.server.post(PATHS.heartbeat, beat, heartbeatReply)).attest, 1800);
  const quote = await node.work!.quote(reattestData(await challenge(wire), spkiOf(node)));
  await wire.send(PATHS.attest, { ak: node.tpm!.ak, quote });
  t.like(directory.attested, [{ id, shown: { akName: directory.enrolments[0]!.akName, pcrs: quote.pcrs } }]);
  await refusedWith(t, 'NONCE_SPENT', wire.send(PATHS.attest, { ak: node.tpm!.ak, quote }));
  const older = await challenge(wire);
  await challenge(wire);
  const late = await node.work!.quote(reattestData(older, spkiOf(node)));
  await refusedWith(t, 'QUOTE_EXTRA_DATA', wire.send(PATHS.attest, { ak: node.tpm!.ak, quote: late }));
  t.is(directory.attested.length, 1);
  t.deepEqual(
    directory.refusals.map(({ code, id: about }) => [code, about]),
    [
      ['NONCE_SPENT', id],
      ['QUOTE_EXTRA_DATA', id],
    ],
  );
});

test.serial(
  'each nonce has a number, taken before it is shown, and a proof carries that of its own',
  async (t) => {
    const { directory, member } = await setup(t);
    const { wire } = await member(node);
    const enrolled = directory.enrolments[0]!.nonceNumber;
    const attest = async (nonce: Buffer) => {
      const quote = await node.work!.quote(reattestData(nonce, spkiOf(node)));
      await wire.send(PATHS.attest, { ak: node.tpm!.ak, quote });
      return directory.attested.at(-1)!.shown.nonceNumber;
    };
    const nonce = await challenge(wire);
    const between = await directory.numberNonce();
    const first = await attest(nonce);
    const second = await attest(await challenge(wire));
    t.true(
      enrolled < first && first < between && between < second,
      [enrolled, first, between, second].join(),
    );
  },
);

test.serial('neither another TPM, nor another key, nor other values attest for a member', async (t) => {
  const { directory, member } = await setup(t);
  const { wire } = await member(node);
  const { ak } = node.tpm!;
  const data = async (machine = node) => reattestData(await challenge(wire), spkiOf(machine));
  const send = (body: object) => wire.send(PATHS.attest, { ak, ...body });
  await refusedWith(t, 'QUOTE_SIGNATURE', send({ quote: await other.work!.quote(await data()) }));
  await refusedWith(t, 'QUOTE_EXTRA_DATA', send({ quote: await node.work!.quote(await data(other)) }));
  const quote = await node.work!.quote(await data());
  const pcrs = { ...quote.pcrs, 11: 'ab'.repeat(32) };
  await refusedWith(t, 'QUOTE_PCRS', send({ quote: { ...quote, pcrs } }));
  const loose = await rogue.key('loose', 'e', SOUND.replace('restricted|', ''));
  await data();
  await refusedWith(t, 'AK_UNSUITABLE', send({ ak: loose, quote }));
  t.deepEqual(directory.attested, []);
});

test.serial('the answer of the fleet is what the machine hears', async (t) => {
  const { directory, member } = await setup(t);
  const { wire } = await member(node);
  const attest = async () => {
    const quote = await node.work!.quote(reattestData(await challenge(wire), spkiOf(node)));
    await wire.send(PATHS.attest, { ak: node.tpm!.ak, quote });
  };
  directory.reattestDecision = { state: 'refused', code: 'ENROL_CLONED', what: 'two of you' };
  await refusedWith(t, 'ENROL_CLONED', attest());
  directory.members = false;
  await refusedWith(t, 'CERTIFICATE_NOT_CURRENT', attest());
});

test.serial(
  'a machine that was off for a month comes back: its certificate counts for nothing, its TPM does',
  async (t) => {
    let now = Date.now() - 31 * DAY;
    const { directory, member } = await setup(t, { now: () => now });
    const before = await member(node);
    now = Date.now();
    await refusedWith(t, 'CERTIFICATE_EXPIRED', challenge(before.wire));
    const after = await member(node);
    t.is(after.id, before.id);
    await challenge(after.wire);
    t.is(directory.enrolments.length, 2);
  },
);

/** Measures as firmware does. */
async function measure(events: readonly Written[]): Promise<void> {
  for (const { pcr, data, digest } of events) {
    const value = digest ?? createHash('sha256').update(data).digest();
    const args = [`${pcr}:sha256=${value.toString('hex')}`];
    await software.exclusive(() => mustRun('tpm2_pcrextend', args, { env: software.environment }));
  }
}

test.serial(
  'an event log counts when it leads to the quote, and shows whose keys the firmware holds',
  async (t) => {
    const { directory, member } = await setup(t);
    const events = [
      { pcr: 0, type: 8, data: Buffer.from('firmware 1.0') },
      ...keyEvents(),
      authority(FLEET_KEYS.db[0]!),
    ];
    await measure(events);
    const log = eventLog(events).toString('base64');
    const { wire } = await member(node, log);
    t.like(directory.enrolments[0]!.firmware, { secureBoot: true, foreign: [], dbx: { entries: 0 } });
    const attest = async (bytes: Buffer) => {
      const quote = await node.work!.quote(reattestData(await challenge(wire), spkiOf(node)));
      return wire.send(PATHS.attest, {
        ak: node.tpm!.ak,
        quote: { ...quote, eventLog: bytes.toString('base64') },
      });
    };
    await refusedWith(t, 'EVENT_LOG_FORGED', attest(eventLog(events.slice(0, -1))));
    await refusedWith(t, 'EVENT_LOG_MALFORMED', attest(eventLog(events).subarray(0, -1)));
    const foreign = { ...variable('dbx', OTHER_CERTIFICATE), type: EVENT.VARIABLE_DRIVER_CONFIG };
    await refusedWith(t, 'EVENT_LOG_FORGED', attest(eventLog([...events, foreign])));
    await attest(eventLog(events));
    t.is(directory.attested.length, 1);
  },
);

test.serial(
  'a TPM that was cleared keeps its keys and begins to count anew, as a copy of it would',
  async (t) => {
    const tpm = new Tpm(join(folders[1], 'work'), otherSoftware.environment);
    const show = () =>
      otherSoftware.exclusive(async () => {
        const { ek, ak } = await tpm.identify();
        const { clock } = parseQuote((await tpm.quote(Buffer.alloc(32))).attest);
        return { ek, ak, clock: { ...clock, milliseconds: Number(clock.milliseconds) } };
      });
    const first = await show();
    await otherSoftware.exclusive(async () => {
      await otherSoftware.stop();
      await otherSoftware.start();
    });
    const before = await show();
    t.is(wentBack(first.clock, before.clock), null, 'a reset counts forwards');
    t.is(before.clock.resets, first.clock.resets + 1);
    await otherSoftware.exclusive(() =>
      mustRun('tpm2_clear', ['-c', 'p'], { env: otherSoftware.environment }),
    );
    const after = await show();
    t.deepEqual([after.ek, after.ak], [before.ek, before.ak]);
    t.regex(wentBack(before.clock, after.clock) ?? '', /^resets 0 after /);
  },
);
