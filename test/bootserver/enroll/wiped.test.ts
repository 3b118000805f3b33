/** A held machine says what it has wiped: real TLS, a real TPM, and what must not count. */
import test, { type ExecutionContext } from 'ava';
import { BootwaveError } from '../../../base/error.ts';
import { diskAskReply, writeDiskEvidence } from '../../../protocol/enrolment/disk-evidence.ts';
import { diskEvidenceData, wipeData } from '../../../protocol/enrolment/extra-data.ts';
import { LIMITS, PATHS, statusReply } from '../../../protocol/enrolment/messages.ts';
import { wipeNonceReply, writeReport } from '../../../protocol/enrolment/wipe.ts';
import { FLEET_KEYS } from './support/event-log.ts';
import { Fleet, serve } from './support/fleet.ts';
import { type HonestNode, Wire } from './support/node.ts';
import { twoMachines } from './support/pair.ts';

const fleet = await Fleet.make();
const { node, other, stop } = await twoMachines(fleet);

test.after.always(async () => {
  await stop();
  await fleet.remove();
});

const REPORT = writeReport({ incident: 1, wiped: ['0x5000c500'], left: ['usb'], open: [] });
const ORDER = { payload: 'e30=', keyId: 'a'.repeat(64), signature: '' };

async function setup(t: ExecutionContext) {
  const clock = { now: Date.now() };
  const server = await serve(fleet, { secureBootKeys: async () => FLEET_KEYS, now: () => clock.now });
  const wire = new Wire(server.url, fleet.root);
  t.teardown(async () => {
    wire.close();
    await server.stop();
  });
  const held = { state: 'held', name: 'n1', reason: 'it talks to strangers', order: ORDER } as const;
  /** Its session, in which it was told that it is held. */
  const enrolled = async (machine: HonestNode) => {
    const { session } = await wire.start();
    const opened = { session, ...(await wire.keys(machine.keysRequest(session))) };
    const first = await wire.server.post(PATHS.proof, await machine.proofRequest(opened), statusReply);
    server.directory.decisions.set(first.id, held);
    t.like(await wire.server.post(PATHS.status, { session }, statusReply), held);
    return { session, id: first.id };
  };
  const nonce = async (session: string) =>
    Buffer.from((await wire.server.post(PATHS.wipeNonce, { session }, wipeNonceReply)).nonce, 'hex');
  const send = (body: object) => wire.send(PATHS.wiped, { ak: node.tpm!.ak, report: REPORT, ...body });
  const refused = async (code: string, work: Promise<unknown>) =>
    t.is((await t.throwsAsync(work, { instanceOf: BootwaveError })).code, code);
  return { clock, wire, directory: server.directory, enrolled, nonce, send, refused };
}

test.serial('a report with a quote over a fresh nonce and this report, once', async (t) => {
  const { clock, directory, enrolled, nonce, send, refused } = await setup(t);
  const { session, id } = await enrolled(node);
  await refused(
    'NONCE_SPENT',
    send({ session, quote: await node.work!.quote(wipeData(Buffer.alloc(32), REPORT)) }),
  );
  const quote = await node.work!.quote(wipeData(await nonce(session), REPORT));
  await send({ session, quote });
  t.like(directory.wipes, [{ id, report: { incident: 1, wiped: ['0x5000c500'], left: ['usb'], open: [] } }]);
  t.is(directory.wipes[0]?.shown.akName, directory.enrolments.at(-1)!.akName!);
  await refused('NONCE_SPENT', send({ session, quote }));
  const late = await node.work!.quote(wipeData(await nonce(session), REPORT));
  clock.now += LIMITS.proofWithin;
  await refused('NONCE_SPENT', send({ session, quote: late }));
  t.is(directory.wipes.length, 1);
});

test.serial('neither another report, nor another machine, nor other values', async (t) => {
  const { directory, enrolled, nonce, send, refused } = await setup(t);
  const { session } = await enrolled(node);
  const { session: theirs } = await enrolled(other);
  const data = async (of = session) => wipeData(await nonce(of), REPORT);
  const empty = writeReport({ incident: 1, wiped: [], left: [], open: [] });
  await refused(
    'QUOTE_EXTRA_DATA',
    send({ session, report: empty, quote: await node.work!.quote(await data()) }),
  );
  const foreign = await data(theirs);
  await nonce(session);
  await refused('QUOTE_EXTRA_DATA', send({ session, quote: await node.work!.quote(foreign) }));
  await refused('QUOTE_SIGNATURE', send({ session, quote: await other.work!.quote(await data()) }));
  const quote = await node.work!.quote(await data());
  await refused(
    'QUOTE_PCRS',
    send({ session, quote: { ...quote, pcrs: { ...quote.pcrs, 11: 'ab'.repeat(32) } } }),
  );
  const odd = '{"incident":1}';
  await refused(
    'WIPE_REPORT',
    send({ session, report: odd, quote: await node.work!.quote(wipeData(await nonce(session), odd)) }),
  );
  await refused('SESSION_UNKNOWN', send({ session: 'ab'.repeat(16), quote }));
  t.is(directory.wipes.length, 0);
});

test.serial('before its proof a session has no nonce for that', async (t) => {
  const { wire, nonce, refused } = await setup(t);
  const { session } = await wire.start();
  await refused('SESSION_OUT_OF_TURN', nonce(session));
  await wire.keys(node.keysRequest(session));
  await refused('SESSION_OUT_OF_TURN', nonce(session));
});

test.serial(
  'before the wipe: it is asked what is read, and what it read counts with a quote over that and nothing else',
  async (t) => {
    const { wire, directory, enrolled, nonce, refused } = await setup(t);
    const { session, id } = await enrolled(node);
    const ask = () => wire.server.post(PATHS.diskAsk, { session }, diskAskReply);
    t.is((await ask()).read, null);
    directory.disks = 'all';
    t.is((await ask()).read, 'all');
    const report = writeDiskEvidence({ incident: 1, read: 'all', disks: [], missing: ['x: EIO'] });
    const show = (body: object) =>
      wire.send(PATHS.diskEvidence, { session, ak: node.tpm!.ak, report, ...body });
    const quoted = async (dataOf: typeof wipeData, what = report) =>
      node.work!.quote(dataOf(await nonce(session), what));
    await refused('QUOTE_EXTRA_DATA', show({ quote: await quoted(wipeData) }));
    await refused('QUOTE_EXTRA_DATA', show({ quote: await quoted(diskEvidenceData, REPORT) }));
    await refused('DISK_EVIDENCE', show({ report: REPORT, quote: await quoted(diskEvidenceData, REPORT) }));
    t.is(directory.shown.length, 0);
    const quote = await quoted(diskEvidenceData);
    await show({ quote });
    t.like(directory.shown, [{ id, said: { report, ak: node.tpm!.ak } }]);
    await refused('NONCE_SPENT', show({ quote }));
    await refused(
      'SESSION_UNKNOWN',
      wire.server.post(PATHS.diskAsk, { session: 'ab'.repeat(16) }, diskAskReply),
    );
  },
);
