/** Programs that sbsign has signed with keys of two db certificates, and a folder as an ESP that holds them. */
import { generateKeyPairSync, randomUUID, X509Certificate } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { ExecutionContext } from 'ava';
import {
  encodeLists,
  LISTS_SECTION,
  type SecureBootLists,
} from '../../../../../formats/efi/secure-boot-lists.ts';
import { X509 } from '../../../../../formats/efi/signature-lists.ts';
import { addSections } from '../../../../../formats/pe/sections.ts';
import { FALLBACK_LOADER } from '../../../../../image/agent/root/disk/install.ts';
import type { ListContents, Signers } from '../../../../../image/agent/root/disk/pcr7-to-come.ts';
import { certificatesIn } from '../../../../../image/agent/root/release/signers.ts';
import { signEfi } from '../../../../../image/build/loaders.ts';
import { secureBootCertificate } from '../../../../../keys/init.ts';
import { signatureList } from '../../../../bootserver/enroll/support/event-log.ts';

const STUB = await readFile('/usr/lib/systemd/boot/efi/linuxx64.efi.stub');
const SYSTEMD_BOOT = '/usr/lib/systemd/boot/efi/systemd-bootx64.efi';
const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c';
const IMAGE_SECURITY = 'd719b2cb-3d3a-4596-a3bc-dad00e67656f';

export type Key = 'old' | 'new';

const scratch = await mkdtemp(join(tmpdir(), 'bootwave-test-signed-'));
const signers = { old: await signer('old'), new: await signer('new') };
const programs = new Map<string, Promise<Buffer>>();

/** To be called when the tests of a file are over. */
export const removeKeys = () => rm(scratch, { recursive: true, force: true });

async function signer(name: string) {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const pem = secureBootCertificate(`db ${name}`, 'owner', privateKey);
  const files = { key: join(scratch, `${name}.key`), certificate: join(scratch, `${name}.crt`) };
  await writeFile(files.key, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  await writeFile(files.certificate, pem);
  return { ...files, der: new X509Certificate(pem).raw };
}

/** EFI_SIGNATURE_LISTs, one for each certificate. */
export const db = (...keys: Key[]) =>
  Buffer.concat(keys.map((key) => signatureList(X509, [signers[key].der])));
/** EFI_SIGNATURE_DATA, as firmware measures it. */
export const entry = (key: Key) => certificatesIn(db(key))[0]!;
/** Whose each of these entries is. */
export const keysOf = (entries: readonly Uint8Array[] | undefined) =>
  entries?.map((each) => (['old', 'new'] as const).find((key) => entry(key).equals(each)));
/** EFI_VARIABLE_AUTHENTICATION_2 without a signature: only firmware looks at that. */
export const update = (content: Buffer) =>
  Buffer.concat([Buffer.alloc(16), Buffer.from([24, 0, 0, 0]), Buffer.alloc(20), content]);

/** Once for all tests of a file, which run beside each other: a signature holds its time, so two are not the same bytes. */
function signed(name: string, unsigned: Buffer, key: Key | null): Promise<Buffer> {
  if (key === null) return Promise.resolve(unsigned);
  const kept = programs.get(`${name} ${key}`) ?? sign(unsigned, key);
  programs.set(`${name} ${key}`, kept);
  return kept;
}

async function sign(unsigned: Buffer, key: Key): Promise<Buffer> {
  const [from, to] = ['unsigned', 'signed'].map((kind) => join(scratch, `${kind}-${randomUUID()}`)) as [
    string,
    string,
  ];
  await writeFile(from, unsigned);
  await signEfi(from, to, signers[key]);
  return readFile(to);
}

export const loader = async (key: Key | null) => signed('loader', await readFile(SYSTEMD_BOOT), key);

export const image = (version: string, key: Key | null, lists: SecureBootLists | null = null) =>
  signed(
    `${version} ${lists?.generation}`,
    addSections(STUB, [
      { name: '.osrel', data: Buffer.from(version) },
      ...(lists === null ? [] : [{ name: LISTS_SECTION, data: encodeLists(lists) }]),
    ]),
    key,
  );

/** A machine with Secure Boot on. */
export async function machine(t: ExecutionContext, loaders: { disk: Key | null; own: Key | null }) {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-signed-disk-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const put = async (path: string, data: Uint8Array | string) => {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, data);
  };
  const esp = join(folder, 'esp');
  await put(join(folder, `SecureBoot-${GLOBAL}`), Buffer.from([6, 0, 0, 0, 1]));
  await put(join(esp, FALLBACK_LOADER), await loader(loaders.disk));
  await put(join(folder, 'own-loader'), await loader(loaders.own));
  const prepared: { lists: ListContents; signers: Signers | undefined }[] = [];
  return {
    esp,
    prepared,
    put: (file: string, data: Uint8Array) => put(join(esp, 'EFI/Linux', file), data),
    images: async () => (await readdir(join(esp, 'EFI/Linux'))).sort(),
    loaderOnDisk: () => readFile(join(esp, FALLBACK_LOADER)),
    secureBootOff: () => put(join(folder, `SecureBoot-${GLOBAL}`), Buffer.from([6, 0, 0, 0, 0])),
    firmware: (name: string, content: Buffer) =>
      put(join(folder, `${name}-${IMAGE_SECURITY}`), Buffer.concat([Buffer.from([0x27, 0, 0, 0]), content])),
    generation: (number: number) => put(join(folder, 'generation'), String(number)),
    places: {
      efivars: folder,
      generation: join(folder, 'generation'),
      pending: join(folder, 'pending'),
      loader: join(folder, 'own-loader'),
      prepareState: async (lists: ListContents, signers?: Signers) => {
        prepared.push({ lists, signers });
        return '';
      },
    },
  };
}
