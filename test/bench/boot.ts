/** From power-on to healthy by UEFI HTTP Boot with Secure Boot and TPM, against the same kernel and root started by QEMU to the agent's first line */
// The peer skips everything that Bootwave exists for: no firmware, no network, no signature, no measurement, no
// enrolment. What remains is the price of trust, part by part.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BootStep } from '../../bootserver/directory.ts';
import { readSections } from '../../formats/pe/sections.ts';
import { COMMAND_LINE } from '../../image/build/uki.ts';
import { BOOT, Rack } from '../support/rack.ts';

const RUNS = Number(process.env.BOOTWAVE_BENCH_RUNS ?? 3);
const NODE = 'measured';
const PEER = 'plain';

/** Seconds, one column of the report each. */
type Run = {
  firmware: number;
  transfer: number;
  check: number;
  kernel: number;
  userland: number;
  enrolment: number;
  all: number;
};

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
const seconds = (value: number): string => value.toFixed(1);

const rack = await Rack.make('bench', [
  { name: NODE, firmware: 'http' },
  { name: PEER, firmware: 'bios' },
]);
const scratch = await mkdtemp(join(tmpdir(), 'bootwave-bench-boot-'));
try {
  const kernel = await peerKernel();
  await rack.startServer();
  await enrolOnce();
  const ours: Run[] = [];
  const theirs: number[] = [];
  for (let i = 0; i < RUNS; i++) {
    ours.push(await bootOurs());
    theirs.push(await bootPeer(kernel));
    console.error(`run ${i + 1} of ${RUNS}: ${seconds(ours[i]!.all)} s, peer ${seconds(theirs[i]!)} s`);
  }
  const part = (name: keyof Run) => median(ours.map((run) => run[name]));
  console.log('seconds (medians):');
  console.log(`  firmware until it asks for the image   ${seconds(part('firmware'))}`);
  console.log(`  transfer                               ${seconds(part('transfer'))}`);
  console.log(`  firmware checks and measures the image ${seconds(part('check'))}`);
  console.log(`  kernel                                 ${seconds(part('kernel'))}`);
  console.log(`  userland until the agent's first line  ${seconds(part('userland'))}`);
  console.log(`  enrolment until healthy                ${seconds(part('enrolment'))}`);
  const [all, peer] = [part('all'), median(theirs)];
  console.log(
    `bench boot ${seconds(all)} s vs qemu-kernel-to-agent ${seconds(peer)} s ratio ${(all / peer).toFixed(2)}`,
  );
} finally {
  await rack.lab.down();
  await rm(scratch, { recursive: true, force: true });
}

/** Setup mode and the approval happen once in a machine's life and are not measured. */
async function enrolOnce(): Promise<void> {
  await rack.lab.powerOn(NODE);
  const words = await rack.words(await rack.lab.console(NODE));
  const { id } = await rack.until(NODE, (node) => node.state === 'pending');
  await rack.fleet((fleet) => fleet.approve(id, words, { actor: 'bench', at: Date.now() }));
  await rack.until(NODE, (node) => node.state === 'healthy');
  await rack.lab.powerOff(NODE);
}

async function bootOurs(): Promise<Run> {
  const begun = Date.now();
  await rack.lab.powerOn(NODE);
  const console = await rack.lab.console(NODE);
  // EDK2 says so after it has verified and measured what it loaded, before it starts it.
  await console.waitFor(/BdsDxe: starting Boot/, { timeout: BOOT });
  const checked = Date.now();
  await console.waitFor(/^Bootwave: Linux runs/m, { timeout: BOOT });
  const linux = Date.now();
  await rack.state(console, 'starting');
  const agent = Date.now();
  await rack.state(console, 'healthy');
  const healthy = Date.now();
  const mac = rack.lab.nodes.find((node) => node.name === NODE)?.mac ?? '';
  const events = await rack.fleet((fleet) => fleet.machines.boots(mac));
  const at = (step: BootStep) =>
    events.filter((event) => event.step === step && event.at >= begun).at(-1)?.at ?? Number.NaN;
  await rack.lab.powerOff(NODE);
  return {
    firmware: (at('image-started') - begun) / 1000,
    transfer: (at('image-sent') - at('image-started')) / 1000,
    check: (checked - at('image-sent')) / 1000,
    kernel: (linux - checked) / 1000,
    userland: (agent - linux) / 1000,
    enrolment: (healthy - agent) / 1000,
    all: (healthy - begun) / 1000,
  };
}

async function peerKernel(): Promise<{ kernel: string; initrd: string; append: string }> {
  const file = await readFile(rack.image.file);
  const sections = readSections(file);
  const cut = async (name: string): Promise<string> => {
    const section = sections.find((one) => one.name === name);
    if (section === undefined) throw new Error(`the image has no section ${name}`);
    const path = join(scratch, name.slice(1));
    await writeFile(path, file.subarray(section.offset, section.offset + section.size));
    return path;
  };
  return { kernel: await cut('.linux'), initrd: await cut('.initrd'), append: COMMAND_LINE };
}

async function bootPeer(kernel: { kernel: string; initrd: string; append: string }): Promise<number> {
  const begun = Date.now();
  await rack.lab.powerOn(PEER, { kernel });
  await rack.state(await rack.lab.console(PEER), 'starting');
  const took = (Date.now() - begun) / 1000;
  await rack.lab.powerOff(PEER);
  return took;
}
