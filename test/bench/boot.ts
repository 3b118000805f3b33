/** From power-on to healthy by UEFI HTTP Boot and from the disk, Secure Boot and TPM, by phase, against the same kernel and root started by QEMU to the agent's first line */
// The peer skips everything that Bootwave exists for: no firmware, no network, no signature, no measurement, no
// enrolment. What remains is the price of trust, part by part. CPU seconds of the emulator, because the wall time of an
// emulated boot is that of whatever else runs on the host.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os, { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BootStep } from '../../bootserver/directory.ts';
import { readSections } from '../../formats/pe/sections.ts';
import { COMMAND_LINE } from '../../image/build/uki.ts';
import { BOOT, Rack } from '../support/rack.ts';
import { approve } from '../support/rollout.ts';
import { snapshot } from '../support/snapshot.ts';
import { NODE as INSTALLED, UPDATED, updatedRack } from '../support/updated.ts';
import { Meter } from './support/meter.ts';

const RUNS = Number(process.env.BOOTWAVE_BENCH_RUNS ?? 3);
/** The phases, each until this is over. */
const FIRMWARE = 'firmware: asks for the image, or has the loader';
const TRANSFER = 'transfer';
const CHECK = 'firmware checks and measures the image';
const LINUX = 'stub measures it; kernel to its first program';
const USERLAND = "userland to the agent's first line";
const ENROLMENT = 'enrolment until healthy';

const NODE = 'measured';
const PEER = 'plain';

/** CPU seconds of each phase; one that a way has not is absent. */
type Run = Record<string, number>;

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
const sum = (run: Run): number => Object.values(run).reduce((total, value) => total + value, 0);
const seconds = (value: number): string => value.toFixed(1);

const scratch = await mkdtemp(join(tmpdir(), 'bootwave-bench-boot-'));
const network: Run[] = [];
const plain: Run[] = [];
const disk: Run[] = [];
try {
  const rack = await Rack.make('bench', [
    { name: NODE, firmware: 'http' },
    { name: PEER, firmware: 'bios' },
  ]);
  try {
    const kernel = await peerKernel(rack);
    await rack.startServer();
    // Setup mode and the approval happen once in a machine's life and are not measured.
    await rack.lab.powerOn(NODE);
    await approve(rack, NODE);
    await rack.lab.powerOff(NODE);
    for (let i = 0; i < RUNS; i++) {
      network.push(await fromNetwork(rack));
      plain.push(await fromKernel(rack, kernel));
      tell(i, network, plain);
    }
  } finally {
    await rack.lab.down();
  }
  const installed = await Rack.restore('bench-disk', await snapshot(UPDATED, updatedRack));
  try {
    for (let i = 0; i < RUNS; i++) {
      disk.push(await fromDisk(installed));
      tell(i, disk);
    }
  } finally {
    await installed.lab.down();
  }
} finally {
  await rm(scratch, { recursive: true, force: true });
}
report();

function tell(i: number, ...of: Run[][]): void {
  const each = of.map((runs) => seconds(sum(runs[i]!))).join(' s, peer ');
  console.error(`run ${i + 1} of ${RUNS}: ${each} s, load ${os.loadavg()[0]?.toFixed(1)}`);
}

function report(): void {
  const middle = (runs: readonly Run[], name: string) => median(runs.map((run) => run[name] ?? Number.NaN));
  console.log(`${`CPU seconds (medians of ${RUNS}):`.padEnd(50)}  network     disk  -kernel`);
  const names = [...new Set([...network, ...disk, ...plain].flatMap((run) => Object.keys(run)))];
  for (const name of names) {
    const cells = [network, disk, plain].map((runs) => {
      const value = middle(runs, name);
      return (Number.isNaN(value) ? '-' : seconds(value)).padStart(9);
    });
    console.log(`  ${name.padEnd(48)}${cells.join('')}`);
  }
  const [all, fromDisk, peer] = [network, disk, plain].map((runs) => median(runs.map(sum))) as [
    number,
    number,
    number,
  ];
  console.log(
    `  ${'all'.padEnd(48)}${[all, fromDisk, peer].map((value) => seconds(value).padStart(9)).join('')}`,
  );
  // What passes before the kernel's first instruction is the firmware's: up to Linux, without what the kernel itself takes.
  const kernel = middle(plain, LINUX);
  const before = [FIRMWARE, TRANSFER, CHECK, LINUX].reduce(
    (total, name) => total + middle(network, name),
    -kernel,
  );
  console.log(
    `bench boot ${seconds(all - before)} s (and ${seconds(before)} s of firmware) vs qemu-kernel-to-agent ${seconds(peer)} s ratio ${((all - before) / peer).toFixed(2)}`,
  );
}

/** Setup is over: from power-on by HTTP Boot to healthy. */
async function fromNetwork(rack: Rack): Promise<Run> {
  const begun = Date.now();
  await rack.lab.powerOn(NODE);
  const meter = await Meter.start(rack.lab, NODE);
  const console = await rack.lab.console(NODE);
  // EDK2 says so after it has verified and measured what it loaded, before it starts it.
  await console.waitFor(/BdsDxe: starting Boot/, { timeout: BOOT });
  const checked = Date.now();
  const { linux, agent, healthy } = await rest(rack, NODE);
  const mac = rack.lab.nodes.find((node) => node.name === NODE)?.mac ?? '';
  const events = await rack.fleet((fleet) => fleet.machines.boots(mac));
  const at = (step: BootStep) =>
    events.filter((event) => event.step === step && event.at >= begun).at(-1)?.at ?? Number.NaN;
  await meter.stop();
  await rack.lab.powerOff(NODE);
  return phases(meter, [
    [FIRMWARE, at('image-started')],
    [TRANSFER, at('image-sent')],
    [CHECK, checked],
    [LINUX, linux],
    [USERLAND, agent],
    [ENROLMENT, healthy],
  ]);
}

/** An installed node whose power comes back. */
async function fromDisk(rack: Rack): Promise<Run> {
  await rack.lab.cycle(INSTALLED);
  const meter = await Meter.start(rack.lab, INSTALLED);
  const console = await rack.lab.console(INSTALLED);
  await console.waitFor(/BdsDxe: starting Boot/, { timeout: BOOT });
  const loader = Date.now();
  const { linux, agent, healthy } = await rest(rack, INSTALLED);
  await meter.stop();
  return phases(meter, [
    [FIRMWARE, loader],
    [LINUX, linux],
    [USERLAND, agent],
    [ENROLMENT, healthy],
  ]);
}

type Direct = { kernel: string; initrd: string; append: string };

async function fromKernel(rack: Rack, kernel: Direct): Promise<Run> {
  await rack.lab.powerOn(PEER, { kernel });
  const meter = await Meter.start(rack.lab, PEER);
  const console = await rack.lab.console(PEER);
  // SeaBIOS ends its last line with nothing but a clear screen.
  await console.waitFor(/Bootwave: Linux runs/, { timeout: BOOT });
  const linux = Date.now();
  await rack.state(console, 'starting');
  const agent = Date.now();
  await meter.stop();
  await rack.lab.powerOff(PEER);
  return phases(meter, [
    [LINUX, linux],
    [USERLAND, agent],
  ]);
}

async function rest(rack: Rack, node: string) {
  const console = await rack.lab.console(node);
  await console.waitFor(/^Bootwave: Linux runs/m, { timeout: BOOT });
  const linux = Date.now();
  await rack.state(console, 'starting');
  const agent = Date.now();
  await rack.state(console, 'healthy');
  return { linux, agent, healthy: Date.now() };
}

/** @param ends of the phases, milliseconds since the epoch */
function phases(meter: Meter, ends: readonly (readonly [name: string, end: number])[]): Run {
  let before = 0;
  return Object.fromEntries(
    ends.map(([name, end]) => {
      const spent = meter.at(end) - before;
      before += spent;
      return [name, spent];
    }),
  );
}

async function peerKernel(rack: Rack): Promise<Direct> {
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
