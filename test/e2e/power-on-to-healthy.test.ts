/**
 * Real firmware, real image, real TPM, real Redis: the whole way, and what must not get through. One lab and one image
 * for all; each test goes on from where the one before left the machines.
 */

import { createHash, generateKeyPairSync } from 'node:crypto';
import { copyFile, mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { mustRun } from '../../base/run.ts';
import { readSections } from '../../formats/pe/sections.ts';
import { imageFile, manifestFile } from '../../image/build/manifest.ts';
import { release } from '../../image/publish/publish.ts';
import { loadAuthority, spkiOf } from '../../keys/authority.ts';
import { keyLayout } from '../../keys/layout.ts';
import { stopBootServer } from '../../lab/boot-server.ts';
import type { Console } from '../../lab/console.ts';
import { LAB_NETWORK } from '../../lab/namespace.ts';
import { overview } from '../../orchestrator/fleet/overview.ts';
import { keysIn } from '../support/keys.ts';
import { BOOT, type Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { ended, publishConfig, startRollout } from '../support/rollout.ts';

const HTTP = 'http-node';
const BIOS = 'bios-node';
const by = { actor: 'test', at: Date.now() };

let rack: Rack;
let scratch: string;
let http: Console;
let httpWords: string[];
let firstAddress: string;

rackFor(
  test,
  'e2e',
  [
    { name: HTTP, firmware: 'http' },
    { name: BIOS, firmware: 'bios' },
  ],
  async (made) => {
    rack = made;
    scratch = await mkdtemp(join(tmpdir(), 'bootwave-e2e-'));
    await rack.startServer();
  },
  {
    minutes: 30,
    gone: async () => {
      if (scratch !== undefined) await rm(scratch, { recursive: true, force: true });
    },
  },
);

test.serial(
  'UEFI HTTP Boot: out of setup mode, then Secure Boot; pending with its words on the console',
  async (t) => {
    await rack.lab.powerOn(HTTP);
    await rack.lab.powerOn(BIOS);
    http = await rack.lab.console(HTTP);
    await rack.state(http, 'secure-boot-enrolling');
    httpWords = await rack.words(http);
    const record = await rack.until(HTTP, (node) => node.state === 'pending');
    t.is(record.observed.secureBoot, 'on');
    t.regex(record.id, /^tpm-[0-9a-f]{64}$/);
    t.deepEqual(record.words, httpWords);
    t.is(record.observed.image, rack.image.version);
    t.is(record.observed.pcrs?.['11'], rack.image.manifest.pcr11, 'PCR 11 is what the build foretold');
    firstAddress = record.observed.address;
  },
);

test.serial(
  'boot server killed while a node waits: nothing is lost, the node comes back by itself',
  async (t) => {
    const before = await rack.record(HTTP);
    await stopBootServer(rack.lab, 'SIGKILL');
    await rack.state(http, 'server-lost');
    await rack.startServer();
    await rack.state(http, 'pending');
    const after = await rack.record(HTTP);
    t.is(after.id, before.id);
    t.is(after.state, 'pending');
    t.is(after.observed.address, firstAddress, 'the lease was kept');
    httpWords = (await rack.record(HTTP)).words;
    const shown = await rack.lab.consoleLog(HTTP);
    t.true(shown.includes(`bootwave: words ${httpWords.join(' ')}`), 'both sides show the same words');
  },
);

test.serial('other words do not approve; the four words on its console do', async (t) => {
  const { id } = await rack.record(HTTP);
  const wrong = [...httpWords].reverse();
  await t.throwsAsync(
    rack.fleet((fleet) => fleet.approve(id, wrong, by)),
    { code: 'WORDS_DIFFER' },
  );
  t.is((await rack.record(HTTP)).state, 'pending');
  await rack.fleet((fleet) => fleet.approve(id, httpWords, by, 'first'));
  await rack.state(http, 'healthy');
  const record = await rack.until(HTTP, (node) => node.state === 'healthy');
  t.is(record.name, 'first');
});

test.serial('BIOS: kernel and initrd out of the same file; marked as without TPM', async (t) => {
  const pending = await rack.sameWords(BIOS);
  t.true(pending.marks.includes('no-tpm'));
  t.true(pending.marks.includes('bios'));
  await rack.fleet((fleet) => fleet.approve(pending.id, pending.words, by, 'second'));
  await rack.until(BIOS, (node) => node.state === 'healthy');
  await rack.lab.powerOff(BIOS);
});

test.serial('a configuration is applied on the running node, without a restart', async (t) => {
  const before = await rack.record(HTTP);
  await publishConfig(rack, '2026.1', {
    sysctls: { 'vm.swappiness': 10, 'net.ipv4.tcp_congestion_control': 'bbr' },
    ntp: ['10.77.0.1'],
    log: { level: 'info', megabytes: 16 },
  });
  const id = await startRollout(rack, { config: '2026.1', nodes: { names: ['first'] } });
  const { rollout } = await ended(rack, id);
  t.is(rollout.state, 'done', rollout.why);
  t.is((await rack.record(HTTP)).observed.bootId, before.observed.bootId);
});

test.serial(
  'certificates of another fleet and of our other authorities are refused, audited, and change nothing',
  async (t) => {
    const stranger = join(scratch, 'stranger');
    await keysIn(stranger, 'theirs');
    const before = await rack.record(HTTP);
    const cases = [
      { folder: stranger, authority: 'nodes', usage: 'client', code: 'CERTIFICATE_FOREIGN' },
      { folder: rack.paths.keys, authority: 'operators', usage: 'client', code: 'CERTIFICATE_FOREIGN' },
      // The right authority, but not the certificate that this node was given.
      { folder: rack.paths.keys, authority: 'nodes', usage: 'client', code: 'CERTIFICATE_NOT_CURRENT' },
    ] as const;
    for (const one of cases) {
      const answer = await heartbeatWith(one.folder, one.authority, before.id);
      t.is(answer.body?.error?.code, one.code, JSON.stringify(answer));
    }
    const audit = await rack.fleet((fleet) => fleet.audit.read({ last: 50 }));
    for (const { code } of cases) {
      t.true(
        audit.some((entry) => entry.action === 'refused' && entry.reason.includes(code)),
        code,
      );
    }
    const after = await rack.record(HTTP);
    t.is(after.epoch, before.epoch);
    t.is(after.state, 'healthy');
  },
);

test.serial(
  'a tampered and a foreign-signed image are refused by the firmware and shown as stuck',
  async (t) => {
    const before = await rack.record(HTTP);
    const original = rack.image.file;
    const tampered = join(scratch, 'tampered.efi');
    await copyFile(original, tampered);
    const linux = readSections(await readFile(original)).find((section) => section.name === '.linux');
    await flipByte(tampered, (linux?.offset ?? 0) + 4096);

    const other = join(scratch, 'other-fleet');
    await keysIn(other, 'theirs');
    const bare = join(scratch, 'bare.efi');
    await copyFile(original, bare);
    await mustRun('sbattach', ['--remove', bare]);
    const { key, certificate } = keyLayout(other).secureBoot.variables.db;
    const foreign = join(scratch, 'foreign.efi');
    await mustRun('sbsign', ['--key', key, '--cert', certificate, '--output', foreign, bare]);

    for (const [version, file] of [
      ['9.0.0', tampered],
      ['9.0.1', foreign],
    ] as const) {
      await publishAs(version, file);
      await rack.lab.cycle(HTTP);
      const console = await rack.lab.console(HTTP);
      await console.waitFor(/Access Denied|Security Violation/i, { timeout: BOOT });
      const boots = await rack.fleet((fleet) => fleet.machines.boots(macOf(HTTP)));
      const fetched = boots.some((event) => event.step === 'image-sent' && event.detail === version);
      t.true(fetched, `the firmware had fetched all of ${version}`);
      t.notRegex(await console.unread(), /^bootwave: state/m, 'nothing of it ran');
    }
    const after = await rack.record(HTTP);
    t.is(after.observed.lastAttestedAt, before.observed.lastAttestedAt);
    const later = await rack.fleet((fleet) => overview(fleet, {}, Date.now() + 10 * 60_000));
    const seen = later.nodes.find((node) => node.id === before.id);
    t.regex(seen?.stuck?.check ?? '', /tampered/);
    for (const version of ['9.0.0', '9.0.1']) {
      await rm(manifestFile(rack.paths.images, version));
      await rm(imageFile(rack.paths.images, version));
    }
  },
);

function macOf(name: string): string {
  return rack.lab.nodes.find((node) => node.name === name)?.mac ?? '';
}

type Answer = { status?: number; body?: { error?: { code: string } } };

async function heartbeatWith(
  keysFolder: string,
  authority: 'nodes' | 'operators',
  id: string,
): Promise<Answer> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issuer = await loadAuthority(keysFolder, authority);
  const { pem } = issuer.issue({
    spki: spkiOf(privateKey),
    commonName: id,
    uris: [`spiffe://bootwave/node/${id}`],
    usage: 'client',
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3600_000),
  });
  const keyFile = join(scratch, 'client.key');
  const certificateFile = join(scratch, 'client.crt');
  await writeFile(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  await writeFile(certificateFile, pem + issuer.chainPem);
  const script = join(import.meta.dirname, '../support/heartbeat-client.ts');
  const url = `https://${LAB_NETWORK.address}:7443`;
  const root = keyLayout(rack.paths.keys).ca.root.certificate;
  const result = await rack.lab.inNamespace(process.execPath, [script, url, keyFile, certificateFile, root]);
  return JSON.parse(result.stdout) as Answer;
}

async function flipByte(file: string, offset: number): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    const byte = Buffer.alloc(1);
    await handle.read(byte, 0, 1, offset);
    byte[0] = (byte[0] ?? 0) ^ 0xff;
    await handle.write(byte, 0, 1, offset);
  } finally {
    await handle.close();
  }
}

/** Publishes a file as whoever controls the boot server could: everything is right but the signature. */
async function publishAs(version: string, file: string): Promise<void> {
  const bytes = await readFile(file);
  await copyFile(file, imageFile(rack.paths.images, version));
  const manifest = {
    ...rack.image.manifest,
    version,
    size: (await stat(file)).size,
    sha256: createHash('sha256').update(bytes).digest('hex'),
  };
  await writeFile(manifestFile(rack.paths.images, version), JSON.stringify(manifest));
  // As whoever took the boot server would: what is not released is given to nobody.
  await release(manifest, { paths: rack.paths });
}
