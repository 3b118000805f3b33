import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { mustRun } from '../../../base/run.ts';
import { loaderPcr12, predictPcr11 } from '../../../formats/pe/measured-sections.ts';
import { signPcr11 } from '../../../formats/tpm/pcr-signature.ts';
import { SoftwareTpm } from '../../bootserver/enroll/support/swtpm.ts';

test('PCR 11 is what systemd-measure calculates', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-pcr-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const sections = new Map<string, Buffer>();
  const args: string[] = [];
  // In another order than they are measured in: the order must come from the code, not from the map.
  for (const [i, name] of ['pcrpkey', 'initrd', 'cmdline', 'osrel', 'linux'].entries()) {
    const data = Buffer.alloc(1000 * (i + 1), i + 1);
    sections.set(`.${name}`, data);
    await writeFile(join(folder, name), data);
    args.push(`--${name}=${join(folder, name)}`);
  }
  const { stdout } = await mustRun('/lib/systemd/systemd-measure', [
    'calculate',
    ...args,
    '--bank=sha256',
    '--phase=:',
  ]);
  t.is(`11:sha256=${predictPcr11(sections)}`, stdout.trim());
});

test('every measured section changes PCR 11, the others do not', (t) => {
  const base = new Map([['.linux', Buffer.from('k')]]);
  const of = (name: string) => predictPcr11(new Map([...base, [name, Buffer.from('x')]]));
  for (const name of ['.osrel', '.cmdline', '.initrd', '.pcrpkey']) t.not(of(name), predictPcr11(base), name);
  t.is(of('.pcrsig'), predictPcr11(base));
});

test('PCR 12 of an image that systemd-boot 252 started from a disk, as an installed node quoted it', (t) => {
  const commandLine =
    'console=tty0 console=ttyS0,115200 panic=10 quiet loglevel=3 audit=0 systemd.show_status=no';
  t.is(loaderPcr12(commandLine), 'd9bd078d84f260c71e2798da9b26bf4f3367e658697e4af9d0a6185f25c0991e');
});

test('the signature of PCR 11 is what systemd-measure signs, which asks a TPM', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-pcr-'));
  const tpm = await new SoftwareTpm(join(folder, 'tpm')).start();
  t.teardown(async () => {
    await tpm.stop();
    await rm(folder, { recursive: true });
  });
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  const sections = new Map<string, Buffer>([
    ['.linux', Buffer.from('a kernel')],
    ['.pcrpkey', Buffer.from(publicKey.export({ type: 'spki', format: 'pem' }))],
  ]);
  const file = (name: string) => join(folder, name);
  for (const [name, data] of sections) await writeFile(file(name.slice(1)), data);
  await writeFile(file('key'), key, { mode: 0o600 });
  const { stdout } = await mustRun('/lib/systemd/systemd-measure', [
    ...['sign', `--linux=${file('linux')}`, `--pcrpkey=${file('pcrpkey')}`, '--bank=sha256', '--phase=:'],
    ...[`--private-key=${file('key')}`, `--public-key=${file('pcrpkey')}`],
    `--tpm2-device=${tpm.environment.TPM2TOOLS_TCTI}`,
  ]);
  const ours = JSON.parse(signPcr11(predictPcr11(sections), Buffer.from(key)).toString());
  t.deepEqual(ours, JSON.parse(stdout));
});
