import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { BootwaveError } from '../../../../../base/error.ts';
import { DOWNLOAD } from '../../../../../image/agent/member/release/download.ts';
import { Release } from '../../../../../image/agent/member/release/handlers.ts';
import { recordFile } from '../../../../../image/agent/member/release/kept-record.ts';
import { planActivate } from '../../../../../image/agent/root/release/activate.ts';
import { boot } from '../../../../../image/agent/root/release/choice.ts';
import { planConfirm } from '../../../../../image/agent/root/release/confirm.ts';
import { markBad } from '../../../../../image/agent/root/release/mark-bad.ts';
import { placeImage } from '../../../../../image/agent/root/release/place.ts';
import type { AskDisk, DiskRequest } from '../../../../../protocol/agent/disk.ts';
import { ESP_RESERVE, readSlots } from '../../../../../protocol/agent/slots.ts';
import type { Order } from '../../../../../protocol/order.ts';
import { Volume } from './volume.ts';

export const contentOf = (version: string) => Buffer.alloc(5000, `image ${version} `);
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
export const context = () => ({ signal: new AbortController().signal, progress: () => {} });

/** A node whose disk is a model volume; everything above the helper is the real code. */
export async function node(t: ExecutionContext) {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-release-'));
  let held = false;
  const server = createServer((request, response) => {
    const version = /bootwave_(.+)\.efi$/.exec(request.url ?? '')![1]!;
    const content = contentOf(version);
    fetched.push(version);
    response.writeHead(200, { 'content-length': content.length });
    if (held) response.write(content.subarray(0, 1000));
    else response.end(content);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(async () => {
    server.closeAllConnections();
    server.close();
    await rm(folder, { recursive: true, force: true });
  });
  const esp = new Volume(ESP_RESERVE + 15_000);
  esp.put('bootwave_1.efi', contentOf('1'));
  const machine = {
    running: '1',
    boots: 1,
    restarts: 0,
    healthy: true,
    counted: null as string | null,
    hangs: false,
  };
  /** What the disk waits for before it does anything. */
  let slow: Promise<void> = Promise.resolve();
  let order: Order | null = null;
  const withdrawn = new Set<string>();
  /** Addresses, by SHA-256. */
  const mirrors = new Map<string, string[]>();
  const fetched: string[] = [];
  /** Secure Boot lists; `written`: what was on the ESP when the firmware got them. */
  const lists = { pending: false, forbids: false, refused: false, written: [] as string[] };

  const ask = (async (request: DiskRequest) => {
    const facts = { running: machine.running, fromDisk: true, pinned: null };
    const slots = readSlots(await esp.list());
    switch (request.operation) {
      case 'release-status':
        return {
          disk: 'sda',
          files: await esp.list(),
          loader: { fromDisk: true, counted: machine.counted, pinned: null },
        };
      case 'release-place': {
        await slow;
        const { version, sha256 } = request.image;
        const data = await readFile(join(folder, `${version}_${sha256}.download`)).catch(() => null);
        const source =
          data === null
            ? null
            : (async function* () {
                yield data;
              })();
        return placeImage(esp, request.image, machine.running, source);
      }
      case 'secure-boot-prepare':
        if (lists.forbids)
          throw new BootwaveError({ code: 'SECURE_BOOT_FORBIDS', what: 'it revokes what runs' });
        return { pending: lists.pending, generation: 2, state: '' };
      case 'release-activate': {
        const plan = planActivate(slots, { ...facts, version: request.version });
        if (plan.kind === 'running') return { needed: false, demoted: [] };
        for (const { from, to } of plan.renames) await esp.rename(from, to);
        return { needed: true, demoted: plan.renames.map(({ to }) => to) };
      }
      case 'release-bless': {
        const plan = planConfirm(slots, { ...facts, healthy: true });
        if (plan.kind === 'nothing') return { blessed: null, reason: plan.reason };
        await esp.rename(plan.rename.from, plan.rename.to);
        return { blessed: plan.version, reason: '' };
      }
      case 'release-mark-bad':
        if (machine.hangs) return new Promise(() => {});
        return markBad(esp, { ...facts, counted: machine.counted, wasHealthy: false });
      default:
        throw new Error(`not asked for here: ${request.operation}`);
    }
  }) as AskDisk;

  const records = recordFile(join(folder, 'record.json'));
  const release = () =>
    new Release({
      node: 'tpm-1',
      running: { version: machine.running, kernel: '6.1', bootId: `boot-${machine.boots}`, pcr11: null },
      order: () => (order === null ? null : { order, digest: 'd'.repeat(64) }),
      health: () => ({ healthy: machine.healthy, reason: machine.healthy ? '' : 'no server' }),
      ask,
      records: {
        ...records,
        write: (record) => (machine.hangs ? new Promise(() => {}) : records.write(record)),
      },
      downloads: folder,
      mustBeReleased: async ({ version }) => {
        if (withdrawn.has(version)) throw new BootwaveError({ code: 'RELEASE_NOT_LISTED', what: version });
      },
      imageUrl: ({ version }) =>
        `http://127.0.0.1:${(server.address() as AddressInfo).port}/bootwave_${version}.efi`,
      mirrors: (wanted) => ({
        addresses: mirrors.get(wanted) ?? [],
        pace: { silence: 60_000, least: 0, window: 60_000 },
      }),
      writeLists: async () => {
        if (lists.refused) throw new BootwaveError({ code: 'SECURE_BOOT_REFUSED', what: 'dbx' });
        lists.written.push((await esp.list()).map(({ name }) => name).join());
        lists.pending = false;
      },
      warn: () => {},
      restart: async () => {
        machine.restarts += 1;
      },
      now: () => 1000 + machine.boots,
      lastWait: machine.hangs ? 1 : 60_000,
      pace: { ...DOWNLOAD, silence: 2000, attempts: 2, first: 1, most: 1 },
    });
  return {
    lists,
    esp,
    machine,
    release,
    folder,
    withdrawn,
    mirrors,
    fetched,
    hold: (on: boolean) => {
      held = on;
    },
    /** @returns lets the disk go on */
    slow(): () => void {
      const { promise, resolve } = Promise.withResolvers<void>();
      slow = promise;
      return resolve;
    },
    orders(version: string, epoch: number, forgiven: string[] = [], expires = 1e15) {
      const image = { version, sha256: sha256(contentOf(version)), size: 5000 };
      order = {
        format: 1,
        node: 'tpm-1',
        epoch,
        issuedAt: 0,
        expires,
        mode: 'installed',
        image,
        services: [],
        config: null,
        wipe: false,
        forgiven,
      };
    },
    /** Power off and on: what systemd-boot starts now runs. */
    async restart() {
      const before = await esp.list();
      const { started, files } = boot(before);
      for (const [i, { name }] of before.entries())
        if (files[i]!.name !== name) await esp.rename(name, files[i]!.name);
      machine.running = started!.version;
      // The loader names the file as it is after its counting.
      const at = before.findIndex(({ name }) => name === started!.file);
      machine.counted = started!.triesLeft === null ? null : files[at]!.name;
      machine.boots += 1;
      const next = release();
      await next.image.afterBoot();
      return next;
    },
  };
}

export const names = async (esp: Volume) => (await esp.list()).map(({ name }) => name).sort();
export const bootId = (machine: { boots: number }) => `boot-${machine.boots}`;
