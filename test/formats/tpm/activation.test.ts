import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { BootwaveError } from '../../../base/error.ts';
import { sha256 } from '../../../formats/digest.ts';
import { makeCredential, SECRET_BYTES } from '../../../formats/tpm/credential.ts';
import { checkEndorsementKey, parseTpmPublic } from '../../../formats/tpm/public.ts';
import { extraData } from '../../../protocol/enrolment/extra-data.ts';
import { PATHS, statusReply } from '../../../protocol/enrolment/messages.ts';
import { QUOTED_PCRS } from '../../../protocol/enrolment/quote.ts';
import { MemoryDirectory } from '../../bootserver/enroll/support/directory.ts';
import { Fleet, serve } from '../../bootserver/enroll/support/fleet.ts';
import { HonestNode, type Opened, Wire } from '../../bootserver/enroll/support/node.ts';
import { RogueTpm, SOUND } from '../../bootserver/enroll/support/rogue.ts';
import { SoftwareTpm } from '../../bootserver/enroll/support/swtpm.ts';

const fleet = await Fleet.make();
const folders = { victim: join(fleet.folder, 'victim'), thief: join(fleet.folder, 'thief') };
await mkdir(folders.victim);
await mkdir(folders.thief);
const victimTpm = await new SoftwareTpm(folders.victim).start();
const thiefTpm = await new SoftwareTpm(folders.thief).start();
const victim = await HonestNode.withTpm(folders.victim, victimTpm);
const thief = await HonestNode.withTpm(folders.thief, thiefTpm);
const victimTools = new RogueTpm(folders.victim, victimTpm);
const thiefTools = new RogueTpm(folders.thief, thiefTpm);
const VICTIM_ID = `tpm-${sha256(Buffer.from(victim.tpm!.ek, 'base64').subarray(2)).toString('hex')}`;

/** Whoever read the victim's EK, which is no secret, with an attestation key of its own. */
const withVictimsEk: HonestNode = Object.assign(Object.create(thief), {
  tpm: { ...thief.tpm!, ek: victim.tpm!.ek },
});

test.after.always(async () => {
  await victimTpm.stop();
  await thiefTpm.stop();
  await fleet.remove();
});

async function setup(t: ExecutionContext, directory = new MemoryDirectory()) {
  const server = await serve(fleet, { directory });
  const wire = new Wire(server.url, fleet.root);
  t.teardown(async () => {
    wire.close();
    await server.stop();
  });
  return { server, wire, directory };
}

async function open(wire: Wire, machine: HonestNode): Promise<Opened> {
  const { session } = await wire.start();
  return { session, ...(await wire.keys(machine.keysRequest(session))) };
}

/** All that a machine can send which does not hold the EK: a faultless quote and `secret`. */
async function without(machine: HonestNode, { session, nonce }: Opened, secret: string | null) {
  const message = extraData(Buffer.from(nonce, 'hex'), machine.csr, machine.hostKey);
  return { session, secret, quote: await machine.work!.quote(message), signature: null };
}

async function refusedWith(t: ExecutionContext, code: string, work: Promise<unknown>): Promise<void> {
  const error = await t.throwsAsync(work, { instanceOf: BootwaveError });
  t.is(error.code, code);
}

function nothingRecorded(t: ExecutionContext, directory: MemoryDirectory): void {
  t.deepEqual(directory.enrolments, []);
  t.is(directory.certificates.size, 0);
  t.deepEqual(
    directory.refusals.map(({ code, id }) => [code, id]),
    [['ACTIVATION_FAILED', VICTIM_ID]],
  );
}

test.serial('neither TPM opens a credential for the EK of one and the AK of the other', async (t) => {
  const { wire } = await setup(t);
  const { credential } = await open(wire, withVictimsEk);
  await refusedWith(t, 'TPM_ACTIVATION', thief.work!.activate(credential!));
  await refusedWith(t, 'TPM_ACTIVATION', victim.work!.activate(credential!));
  // The victim's own AK, so that only the EK is another one.
  const reversed: HonestNode = Object.assign(Object.create(victim), {
    tpm: { ...victim.tpm!, ek: thief.tpm!.ek },
  });
  const { credential: second } = await open(wire, reversed);
  await refusedWith(t, 'TPM_ACTIVATION', victim.work!.activate(second!));
});

for (const [title, secret] of [
  ['no secret', null],
  ['a guessed secret', '00'.repeat(SECRET_BYTES)],
] as const) {
  test.serial(`whoever knows only an EK's public part does not enrol as it: ${title}`, async (t) => {
    const { wire, directory } = await setup(t);
    const opened = await open(wire, withVictimsEk);
    const proof = await without(withVictimsEk, opened, secret);
    await refusedWith(t, 'ACTIVATION_FAILED', wire.send(PATHS.proof, proof));
    nothingRecorded(t, directory);
    await refusedWith(t, 'SESSION_UNKNOWN', wire.send(PATHS.status, { session: opened.session }));
  });
}

test.serial('a secret serves the session it was made for, and no other', async (t) => {
  const { wire, directory } = await setup(t);
  const first = await open(wire, victim);
  const secret = await victim.work!.activate(first.credential!);
  const second = await open(wire, victim);
  t.not(await victim.work!.activate(second.credential!), secret);
  await refusedWith(t, 'ACTIVATION_FAILED', wire.send(PATHS.proof, await without(victim, second, secret)));
  nothingRecorded(t, directory);
  await wire.send(PATHS.proof, await without(victim, first, secret));
  await refusedWith(t, 'NONCE_SPENT', wire.send(PATHS.proof, await without(victim, first, secret)));
  t.is(directory.enrolments.length, 1);
});

test.serial('a pending machine keeps its keys and its words when a stranger shows its EK', async (t) => {
  const { wire, directory } = await setup(t);
  const opened = await open(wire, victim);
  const proof = await victim.proofRequest(opened);
  const { words } = await wire.server.post(PATHS.proof, proof, statusReply);
  const before = structuredClone(directory.enrolments);
  const bent = await without(withVictimsEk, await open(wire, withVictimsEk), '00'.repeat(SECRET_BYTES));
  await refusedWith(t, 'ACTIVATION_FAILED', wire.send(PATHS.proof, bent));
  t.deepEqual(directory.enrolments, before);
  directory.decisions.set(VICTIM_ID, { state: 'approved', name: 'n1' });
  const reply = await wire.server.post(PATHS.status, { session: opened.session }, statusReply);
  t.is(reply.state, 'approved');
  t.deepEqual(reply.words, words);
});

test.serial('machines without a TPM are sent no credential', async (t) => {
  const { wire, directory } = await setup(t);
  const machine = new HonestNode(null, null);
  const opened = await open(wire, machine);
  t.is(opened.credential, null);
  await wire.send(PATHS.proof, await machine.proofRequest(opened));
  t.is(directory.enrolments.length, 1);
});

for (const kind of ['rsa', 'ecc'] as const) {
  test.serial(`a TPM opens our credential for its ${kind} EK, and for no other AK`, async (t) => {
    const ek = parseTpmPublic(Buffer.from(await victimTools.endorsementKey(kind), 'base64'), 'EK');
    checkEndorsementKey(ek);
    const ak = await victimTools.key('ak', 'e', SOUND);
    await victimTools.key('twin', 'o', SOUND);
    const name = parseTpmPublic(Buffer.from(ak, 'base64'), 'AK').name;
    const secret = randomBytes(SECRET_BYTES);
    const { blob, seed } = makeCredential(ek, name, secret);
    const credential = { blob: blob.toString('base64'), seed: seed.toString('base64') };
    t.is(await victimTools.activate('ak', credential, kind), secret.toString('hex'));
    t.is(await victimTools.activate('twin', credential, kind), null);
    const spoilt = Buffer.from(blob);
    spoilt[spoilt.length - 1]! ^= 1;
    t.is(await victimTools.activate('ak', { ...credential, blob: spoilt.toString('base64') }, kind), null);
  });
}

test.serial('an AK that its TPM calls unrestricted cannot borrow the name of a restricted one', async (t) => {
  const { wire, directory } = await setup(t);
  const loose = await thiefTools.key('loose', 'e', SOUND.replace('restricted|', ''));
  const bytes = Buffer.from(loose, 'base64');
  // TPMA_OBJECT stands behind the size, the type and the name algorithm.
  bytes.writeUInt32BE((bytes.readUInt32BE(6) | (1 << 16)) >>> 0, 6);
  const bent: HonestNode = Object.assign(Object.create(thief), {
    tpm: { ...thief.tpm!, ak: bytes.toString('base64') },
  });
  const { session, nonce, credential } = await open(wire, bent);
  t.is(await thiefTools.activate('loose', credential!), null);
  const extra = extraData(Buffer.from(nonce, 'hex'), bent.csr, bent.hostKey).toString('hex');
  const quote = await thiefTools.quote('loose', `sha256:${QUOTED_PCRS.join(',')}`, extra);
  const { pcrs } = await thief.work!.quote(Buffer.alloc(32));
  const proof = { session, secret: '00'.repeat(SECRET_BYTES), quote: { ...quote, pcrs }, signature: null };
  await refusedWith(t, 'ACTIVATION_FAILED', wire.send(PATHS.proof, proof));
  t.deepEqual(directory.enrolments, []);
});
