import { createPrivateKey, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { mustRun } from '../../../../base/run.ts';
import { makeCredential } from '../../../../formats/tpm/credential.ts';
import {
  checkAttestationKey,
  checkDeliveryKey,
  checkEndorsementKey,
  parseTpmPublic,
} from '../../../../formats/tpm/public.ts';
import { verifyQuote } from '../../../../formats/tpm/quote.ts';
import { HOST_KEY_FILE, hostKeyOfThisBoot } from '../../../../image/agent/root/host-key.ts';
import { Tpm } from '../../../../image/agent/root/tpm.ts';
import { QUOTED_PCRS } from '../../../../protocol/enrolment/quote.ts';
import { policyOf } from '../../../../protocol/service/sealed.ts';
import { SoftwareTpm } from '../../../bootserver/enroll/support/swtpm.ts';

const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-tpm-'));
const machine = join(folder, 'a');
await mkdir(machine);
const software = new SoftwareTpm(machine);
test.after.always(async () => {
  await software.stop();
  await rm(folder, { recursive: true, force: true });
});

const work = join(folder, 'work');
const tpm = () => new Tpm(work, software.environment);

test.serial('EK and AK are the same after every boot, and nothing of them is stored', async (t) => {
  await software.start();
  const before = await tpm().identify();
  checkEndorsementKey(parseTpmPublic(before.ek, 'EK'));
  checkAttestationKey(parseTpmPublic(before.ak, 'AK'));
  t.is(before.manufacturer, 'IBM');
  t.regex(before.firmware, /^\d+(\.\d+){3}$/);
  t.is(before.ekCertificate, null);

  await software.stop();
  await rm(work, { recursive: true });
  await software.start();
  const after = await tpm().identify();
  t.deepEqual(after.ek, before.ek);
  t.deepEqual(after.ak, before.ak);
});

test.serial('a quote holds, also when the saved key context died with a reset of the TPM', async (t) => {
  const { ak } = await tpm().identify();
  const extraData = Buffer.alloc(32, 7);
  const expected = { ak: parseTpmPublic(ak, 'AK'), extraData, pcrs: QUOTED_PCRS };
  t.deepEqual(verifyQuote(await tpm().quote(extraData), expected).extraData, extraData);
  await software.stop();
  await software.start();
  t.notThrows(verifyQuote.bind(null, await tpm().quote(extraData), expected));
});

test.serial(
  'a credential opens, also when the saved key contexts died with a reset of the TPM',
  async (t) => {
    const { ek, ak } = await tpm().identify();
    const secret = randomBytes(32);
    const { blob, seed } = makeCredential(parseTpmPublic(ek, 'EK'), parseTpmPublic(ak, 'AK').name, secret);
    t.deepEqual(await tpm().activate(blob, seed), secret);
    await software.stop();
    await software.start();
    t.deepEqual(await tpm().activate(blob, seed), secret);
    await rm(work, { recursive: true });
    t.deepEqual(await tpm().activate(blob, seed), secret);
    const { blob: foreign } = makeCredential(parseTpmPublic(ek, 'EK'), `000b${'00'.repeat(32)}`, secret);
    await t.throwsAsync(tpm().activate(foreign, seed), { code: 'TPM_ACTIVATION' });
  },
);

test.serial(
  'a delivery key opens what is meant for it while the machine is what it quoted, and nothing else does',
  async (t) => {
    const { ek, ak } = await tpm().identify();
    const { pcrs } = await tpm().quote(Buffer.alloc(32));
    const policy = policyOf(pcrs);
    const key = parseTpmPublic(await tpm().deliveryKey(policy), 'KEY');
    t.notThrows(() => checkDeliveryKey(key, policy));
    t.deepEqual(parseTpmPublic(await tpm().deliveryKey(policy), 'KEY').name, key.name, 'the same each time');
    const secret = randomBytes(32);
    const { blob, seed } = makeCredential(parseTpmPublic(ek, 'EK'), key.name, secret);
    t.deepEqual(await tpm().openDelivery(policy, blob, seed), secret);
    await software.stop();
    await software.start();
    t.deepEqual(await tpm().openDelivery(policy, blob, seed), secret, 'the same state after a restart');

    // What the agent may have opened: credentials of the attestation key.
    await t.throwsAsync(tpm().activate(blob, seed), { code: 'TPM_ACTIVATION' });
    const other = makeCredential(parseTpmPublic(ek, 'EK'), parseTpmPublic(ak, 'AK').name, secret);
    await t.throwsAsync(tpm().openDelivery(policy, other.blob, other.seed), { code: 'TPM_ACTIVATION' });
    for (const [wrong, what] of [
      [parseTpmPublic(ak, 'AK'), /is not a storage key/],
      [parseTpmPublic(ek, 'EK'), /has a bit|another state/],
      [parseTpmPublic(await tpm().deliveryKey(Buffer.alloc(32)), 'KEY'), /another state/],
    ] as const)
      t.throws(() => checkDeliveryKey(wrong, policy), { code: 'DELIVERY_KEY_UNSUITABLE', message: what });

    await mustRun('tpm2_pcrextend', [`13:sha256=${'22'.repeat(32)}`], { env: software.environment });
    await t.throwsAsync(tpm().openDelivery(policy, blob, seed), { code: 'TPM_ACTIVATION' });
    await software.stop();
    await software.start();
  },
);

test.serial('nothing stays behind in the TPM, whatever became of a credential', async (t) => {
  const loaded = async () => {
    const caps = ['handles-transient', 'handles-loaded-session', 'handles-saved-session'];
    const env = software.environment;
    const found: string[] = [];
    for (const cap of caps) found.push((await mustRun('tpm2_getcap', [cap], { env })).stdout);
    return found.join('').trim();
  };
  t.is(await loaded(), '');
});

test.serial('PCR values come with their index', async (t) => {
  await mustRun('tpm2_pcrextend', [`12:sha256=${'11'.repeat(32)}`], { env: software.environment });
  const { pcrs } = await tpm().quote(Buffer.alloc(32));
  t.deepEqual(
    await tpm().heldPcrs(),
    Object.fromEntries(['7', '11', '12', '13'].map((pcr) => [pcr, pcrs[pcr]])),
  );
  const changed = Object.entries(pcrs).filter(([, value]) => value !== '00'.repeat(32));
  t.deepEqual(
    changed.map(([pcr]) => pcr),
    ['12'],
  );
});

test.serial(
  'the EK that the platform made persistent is used, a foreign key in its place is not',
  async (t) => {
    const tool = async (name: string, ...args: string[]) => {
      await mustRun(name, args, { env: software.environment, cwd: folder });
      await mustRun('tpm2_flushcontext', ['-t'], { env: software.environment });
    };
    const { ek } = await tpm().identify();
    await tool('tpm2_createprimary', '-C', 'o', '-G', 'rsa2048', '-c', 'srk.ctx');
    await tool('tpm2_evictcontrol', '-C', 'o', '-c', 'srk.ctx', '0x81010001');
    t.deepEqual((await tpm().identify()).ek, ek);
    await tool('tpm2_evictcontrol', '-C', 'o', '-c', '0x81010001');
    await tool('tpm2_createek', '-G', 'rsa', '-c', '0x81010001', '-u', 'ek.pub');
    t.deepEqual((await tpm().identify()).ek, ek);
    const secret = randomBytes(32);
    const { ak } = await tpm().identify();
    const { blob, seed } = makeCredential(parseTpmPublic(ek, 'EK'), parseTpmPublic(ak, 'AK').name, secret);
    t.deepEqual(await tpm().activate(blob, seed), secret);
  },
);

test.serial('the EK certificate is read from its NV index without the padding behind it', async (t) => {
  const certificate = Buffer.concat([Buffer.from([0x30, 0x82, 0x02, 0x00]), Buffer.alloc(512, 0xa5)]);
  const padded = Buffer.concat([certificate, Buffer.alloc(100, 0xff)]);
  const env = software.environment;
  await mustRun(
    'tpm2_nvdefine',
    ['0x01c00002', '-C', 'o', '-s', `${padded.length}`, '-a', 'authread|ownerread|ownerwrite'],
    { env },
  );
  await mustRun('tpm2_nvwrite', ['0x01c00002', '-C', 'o', '-i', '-'], { env, input: padded });
  t.deepEqual((await tpm().identify()).ekCertificate, certificate);
});

test('the SSH host key is one that OpenSSH reads, made once per boot, for root only', async (t) => {
  const ssh = join(folder, 'ssh');
  const line = await hostKeyOfThisBoot(ssh);
  t.is(await hostKeyOfThisBoot(ssh), line);
  const file = join(ssh, HOST_KEY_FILE);
  const { stdout } = await mustRun('ssh-keygen', ['-y', '-f', file]);
  t.is(stdout.trim().split(' ').slice(0, 2).join(' '), line);
  t.is((await stat(file)).mode & 0o777, 0o600);
  t.is((await stat(ssh)).mode & 0o777, 0o700);
  t.throws(() => createPrivateKey(line));
  t.not(await hostKeyOfThisBoot(join(folder, 'other-boot')), line);
  t.is((await readFile(`${file}.pub`, 'utf8')).trim(), line);
});
