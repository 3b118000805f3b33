/**
 * Runs inside the machine; see power-cut.rack.ts. `work` goes through releases for as long as it is let; `look` judges
 * disks that were copied while it did.
 */
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { withEsp } from '../../../../../image/agent/root/disk/mount.ts';
import { planActivate } from '../../../../../image/agent/root/release/activate.ts';
import { boot, nextBoot } from '../../../../../image/agent/root/release/choice.ts';
import { planConfirm } from '../../../../../image/agent/root/release/confirm.ts';
import { type EspFiles, openEsp } from '../../../../../image/agent/root/release/esp.ts';
import { placeImage, tidy } from '../../../../../image/agent/root/release/place.ts';
import { readSlots } from '../../../../../protocol/agent/slots.ts';
import { say } from '../disk/machine.ts';

const MOUNT = '/run/esp';

/** Every version has content of its own, so that a file shows by itself whether it is whole. */
function contentOf(version: string): Buffer {
  const seed = createHash('sha256').update(version).digest();
  return Buffer.concat(Array.from({ length: 6_000 + (seed[0]! << 3) }, () => seed));
}
const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

async function* pieces(content: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length; at += 65_536) yield content.subarray(at, at + 65_536);
}

const images = <T>(device: string, mode: 'ro' | 'rw', work: (esp: EspFiles) => Promise<T>) =>
  withEsp(device, MOUNT, mode, async (folder) => work(await openEsp(join(folder, 'EFI/Linux'))));

async function place(esp: EspFiles, version: string, running: string, as: 'trial' | 'good' = 'trial') {
  const content = contentOf(version);
  const wanted = { version, sha256: digest(content), size: content.length };
  await placeImage(esp, wanted, running, pieces(content), as);
}

async function activate(esp: EspFiles, version: string, running: string): Promise<void> {
  const facts = { version, running, fromDisk: true, pinned: null };
  const plan = planActivate(readSlots(await esp.list()), facts);
  if (plan.kind === 'restart') for (const { from, to } of plan.renames) await esp.rename(from, to);
}

async function confirm(esp: EspFiles, running: string): Promise<void> {
  const plan = planConfirm(readSlots(await esp.list()), { running, fromDisk: true, healthy: true });
  if (plan.kind === 'bless') await esp.rename(plan.rename.from, plan.rename.to);
}

/** What systemd-boot does between power-on and kernel, by the model of it. @returns the version that it starts */
async function start(esp: EspFiles): Promise<string> {
  const before = await esp.list();
  const { started, files } = boot(before);
  for (const [i, { name }] of before.entries())
    if (files[i]!.name !== name) await esp.rename(name, files[i]!.name);
  return started!.version;
}

/** One mount for all: nothing is written for the sake of an umount. */
async function work(esp: EspFiles): Promise<void> {
  let running = '1';
  await place(esp, running, running, 'good');
  say({ ready: true });
  for (let n = 2; ; n += 1) {
    await place(esp, String(n), running);
    await activate(esp, String(n), running);
    // Every third is bad and used up by its boots; every fourth time the older one is ordered back.
    for (let i = 0; i < (n % 3 === 0 ? 4 : 1); i += 1) running = await start(esp);
    if (n % 3 !== 0) await confirm(esp, running);
    const good = readSlots(await esp.list()).filter(({ state }) => state === 'good');
    const older = good.find(({ version }) => version !== running);
    if (n % 4 === 0 && older !== undefined) {
      await activate(esp, older.version, running);
      running = await start(esp);
    }
    say({ n, running });
  }
}

/** @returns what is wrong with what the boot loader finds, null when nothing is */
async function judge(esp: EspFiles): Promise<string | null> {
  // The kernel makes the new name of a rename with no bytes first (vfat_rename, fat_attach): systemd-boot lists nothing
  // without a PE header, and the next change removes it (leftovers).
  const slots = readSlots(await esp.list()).filter(({ size }) => size > 0);
  const names = slots.map(({ file }) => file).join(' ');
  if (nextBoot(slots) === null) return 'no image at all';
  if (!slots.some(({ state }) => state === 'good')) return `no good image in ${names}`;
  for (const { file, version } of slots)
    if ((await esp.digest(file)) !== digest(contentOf(version))) return `${file} is not whole, of ${names}`;
  return null;
}

async function look(device: string): Promise<void> {
  let files: string[] = [];
  // As the firmware finds it, before anything is repaired.
  let fault = await images(device, 'ro', async (esp) => {
    files = (await esp.list()).map(({ name }) => name);
    return judge(esp);
  });
  // And the node goes on: starts, confirms, stages the next and starts that.
  if (fault === null)
    fault = await images(device, 'rw', async (esp) => {
      await tidy(esp);
      const running = await start(esp);
      await confirm(esp, running);
      await place(esp, '999', running);
      await activate(esp, '999', running);
      const after = await judge(esp);
      if (after !== null) return after;
      const started = await start(esp);
      return started === '999' ? null : `${started} was started instead of 999`;
    });
  say({ device, fault, files });
}

if (process.argv[2] === 'work') await images('/dev/ubda', 'rw', work);
else
  for (const name of (await readdir('/dev')).filter((name) => /^ubd[a-p]$/.test(name)))
    await look(`/dev/${name}`);
