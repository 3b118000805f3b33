import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { guestDisk, proveAccelerator } from '../../lab/kvm.ts';

async function folder(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'bw-'));
  t.teardown(() => rm(path, { recursive: true }));
  return path;
}

/** How long a proof takes is not what is tested, and this machine may be busy. */
const LONG = 60_000;

test('the proving guest comes through on a machine that works, with and without SMM', async (t) => {
  const path = await folder(t);
  t.true(await proveAccelerator('tcg', { folder: path, smm: false, deadline: LONG }));
  t.true(await proveAccelerator('tcg', { folder: path, smm: true, deadline: LONG }));
  t.deepEqual(await readdir(path), []);
});

test('a guest that hangs proves nothing, and the proof ends all the same', async (t) => {
  const path = await folder(t);
  const guest = guestDisk();
  guest.set([0xeb, 0xfe]); // jmp to itself
  t.false(await proveAccelerator('tcg', { folder: path, smm: false, deadline: 1000, guest }));
  t.deepEqual(await readdir(path), []);
});

test('a guest that stops short of long mode proves nothing', async (t) => {
  const guest = guestDisk();
  guest.fill(0, 0x70, 0x78); // the 64-bit code descriptor: the far jump faults
  t.false(await proveAccelerator('tcg', { folder: await folder(t), smm: false, deadline: 2000, guest }));
});

test('KVM is proved or refused, whatever this machine has', async (t) => {
  const proved = await proveAccelerator('kvm', { folder: await folder(t), smm: true });
  t.is(typeof proved, 'boolean');
  if (!existsSync('/dev/kvm')) t.false(proved);
});
