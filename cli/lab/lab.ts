import { type Command, InvalidArgumentError, Option } from 'commander';
import { BootwaveError } from '../../base/error.ts';
import { BMC_KINDS, type BmcKind, bmcAddress } from '../../lab/bmc/network.ts';
import { BMC_USER, bmcFiles } from '../../lab/bmc/start.ts';
import { startBootServer } from '../../lab/boot-server.ts';
import { createLab } from '../../lab/create.ts';
import { inWords, type LabEvent } from '../../lab/events.ts';
import { follow, untilInterrupted } from '../../lab/foreground.ts';
import { furnish } from '../../lab/furnish.ts';
import { powerOnInTurn } from '../../lab/in-turn.ts';
import { type Lab, type LabStatus, openLab } from '../../lab/lab.ts';
import type { PowerOverrides } from '../../lab/machine.ts';
import { restoreLab } from '../../lab/save.ts';
import { savedFolder } from '../../lab/saved.ts';
import { FIRMWARES, type Firmware, MINIMUM_MEMORY_MIB, type NodeSpec } from '../../lab/spec.ts';
import { labFolder, listLabs } from '../../lab/state.ts';
import { attachTerminal } from '../../lab/terminal.ts';
import { print, table } from '../context.ts';
import { registerInner } from './inner.ts';
import { registerSaved, type Which } from './saved.ts';
import { registerSim } from './sim.ts';

type UpOptions = Which & {
  nodes: number;
  firmware: Firmware[];
  memory: number;
  power: 'turn' | 'all' | 'off';
  bootServer: boolean;
  bmc: BmcKind;
  detach?: boolean;
  from?: string;
};

export function register(lab: Command): void {
  const command = (name: string, description: string) =>
    lab
      .command(name)
      .description(description)
      .option('--name <lab>', 'which lab (default: lab, or the only one there is)')
      .option('--folder <folder>', 'where the lab keeps its disks (default: below /var/lib/bootwave-lab)')
      .option('--json', 'for programs');

  command('up', 'build a rack, start its boot server, switch its nodes on; Ctrl-C removes everything')
    .option('--nodes <count>', 'how many nodes, n1 to nN', whole(1, 64), 3)
    .option(
      '--firmware <kinds>',
      `${FIRMWARES.join(', ')}, separated by commas, dealt out in turn`,
      firmwares,
      ['http', 'pxe', 'bios'],
    )
    .option('--memory <MiB>', 'of each node', whole(MINIMUM_MEMORY_MIB, 1 << 20), 2048)
    .option('--power <how>', 'turn: one node after the other; all: at once; off: none', powers, 'turn')
    .addOption(
      new Option('--bmc <kind>', 'each node has a BMC, which the server reaches and no node does')
        .choices(BMC_KINDS)
        .default('none'),
    )
    .option('--no-boot-server', 'a bare network; bring your own boot server')
    .addOption(
      new Option(
        '--from <saved>',
        'not blank machines, but all that lab save kept under this name',
      ).conflicts([...['nodes', 'firmware', 'memory', 'power', 'bootServer', 'bmc']]),
    )
    .option('--detach', 'return when the nodes are on; everything runs on until lab down')
    .action((options: UpOptions, command: Command) => up(options, command));

  command('power', 'switch a node; off pulls the plug')
    .argument('<action>', 'on, off, cycle or reset')
    .argument('<node>')
    .addOption(
      new Option(
        '--boot <first>',
        'with on and cycle: what the firmware tries first, as a BMC orders it',
      ).choices(['network', 'disk']),
    )
    .action(async (action: string, node: string, options: Which & { boot?: 'network' | 'disk' }) => {
      const lab = await open(options);
      await power(lab, action, node, options.boot === undefined ? {} : { boot: options.boot });
      const { nodes } = await lab.status();
      const state = nodes.find(({ name }) => name === node)?.power;
      print(options.json, { node, power: state }, () => `${node} is ${state?.on === true ? 'on' : 'off'}.`);
    });

  command('console', `a node's serial console; Ctrl-] leaves it`)
    .argument('<node>')
    .option('--log', 'print all that it has shown')
    .action(async (node: string, options: Which & { log?: boolean }) => {
      const lab = await open(options);
      if (options.log === true) {
        const text = await lab.consoleLog(node);
        print(options.json, { node, log: text }, () => text);
        return;
      }
      console.error(`Console of ${node}; Ctrl-] leaves it.`);
      const { files } = lab.node(node);
      const end = await attachTerminal(files.console, files.consoleLog);
      console.error(end === 'left' ? `\nLeft ${node}; it runs on.` : `\n${node} is off.`);
    });

  command('status', 'what runs')
    .option('--all', 'every lab of this machine')
    .action(async (options: Which & { all?: boolean }) => {
      const one = options.name !== undefined || options.folder !== undefined;
      const labs = one ? [await open(options)] : await Promise.all((await listLabs()).map(openNamed));
      const all = await Promise.all(labs.map((lab) => lab.status()));
      print(options.json, all, () => all.map(describe).join('\n\n') || 'There is no lab.');
    });

  registerSaved(lab, command, open);
  registerSim(lab);
  registerInner(lab);

  command('down', 'end a lab and remove all that it made')
    .option('--all', 'every lab of this machine')
    .option('--keep', 'keep the folder with disks and logs')
    .action(async (options: Which & { all?: boolean; keep?: boolean }) => {
      const labs =
        options.all === true ? await Promise.all((await listLabs()).map(openNamed)) : [await open(options)];
      for (const lab of labs) await lab.down({ keep: options.keep === true });
      const names = labs.map(({ name }) => name);
      print(
        options.json,
        { down: names },
        () => names.map((name) => `Lab ${name} is gone.`).join('\n') || 'There was no lab.',
      );
    });
}

async function up(options: UpOptions, command: Command): Promise<void> {
  const { data } = command.optsWithGlobals<{ data?: string }>();
  const say = (event: LabEvent) => print(options.json, event, () => inWords(event));
  const signal = untilInterrupted();
  let lab: Lab | undefined;
  try {
    const common = {
      signal,
      onEvent: say,
      ...(options.name === undefined ? {} : { name: options.name }),
      ...(options.folder === undefined ? {} : { folder: options.folder }),
    };
    if (options.from !== undefined) {
      if (data !== undefined) throw ownData();
      lab = await restoreLab({ ...common, from: savedFolder(options.from) });
    } else {
      lab = await createLab({
        ...common,
        nodes: rack(options),
        bmc: options.bmc,
        ...(data === undefined ? {} : { dataFolder: data }),
      });
      if (options.bootServer) {
        const tell = (text: string) => print(options.json, { kind: 'note', text }, () => text);
        if (data === undefined) await furnish(lab.dataFolder, tell, signal);
        await startBootServer(lab);
      }
    }
    if (options.json !== true) console.log(hints(lab, options));
    const following = options.detach === true ? undefined : follow(lab, signal);
    if (options.from === undefined) await switchOn(lab, options.power, signal);
    if ((await following) === 'taken-down') return;
  } catch (error) {
    // Ctrl-C ends the work under way with an AbortError, which is no failure.
    if (!signal.aborted) {
      await lab?.down();
      throw error;
    }
  }
  if (signal.aborted && lab !== undefined) {
    if (options.json !== true) console.log('Taking the lab down ...');
    await lab.down();
  }
}

function ownData(): BootwaveError {
  return new BootwaveError({
    code: 'LAB_DATA',
    what: 'a saved lab brings its own data folder',
    unchanged: 'no lab was made',
    next: 'leave out --data or --from',
  });
}

async function switchOn(lab: Lab, how: UpOptions['power'], signal: AbortSignal): Promise<void> {
  const names = lab.nodes.map(({ name }) => name);
  if (how === 'all') await Promise.all(names.map((name) => lab.powerOn(name)));
  if (how === 'turn') await powerOnInTurn(lab, names, signal);
}

function rack({ nodes, firmware, memory }: UpOptions): NodeSpec[] {
  return Array.from({ length: nodes }, (_, i) => ({
    name: `n${i + 1}`,
    firmware: firmware[i % firmware.length] ?? 'http',
    memoryMiB: memory,
  }));
}

function hints(lab: Lab, options: UpOptions): string {
  const which = options.name === undefined ? '' : ` --name ${options.name}`;
  const first = lab.nodes[0]?.name ?? 'n1';
  return [
    `  its nodes:   bootwave --data ${lab.dataFolder} node list`,
    `  a console:   bootwave lab console ${first}${which}`,
    `  the switch:  bootwave lab power cycle ${first}${which}`,
    ...(lab.bmc === 'none'
      ? []
      : [
          `  its BMC:     bootwave --data ${lab.dataFolder} node bmc set ${first} --kind ${lab.bmc === 'both' ? 'ipmi' : lab.bmc} --address ${bmcAddress(0)} --user ${BMC_USER} --password-file ${bmcFiles(lab.folder).password}`,
        ]),
    `  the end:     ${options.detach === true ? `bootwave lab down${which}` : 'Ctrl-C'}`,
  ].join('\n');
}

async function power(lab: Lab, action: string, node: string, overrides: PowerOverrides): Promise<void> {
  switch (action) {
    case 'on':
      return lab.powerOn(node, overrides);
    case 'off':
      return lab.powerOff(node);
    case 'cycle':
      return lab.cycle(node, overrides);
    case 'reset':
      return lab.reset(node);
    default:
      throw new BootwaveError({
        code: 'LAB_POWER',
        what: `there is no power action '${action}'`,
        next: 'use on, off, cycle or reset',
      });
  }
}

async function open(options: Which): Promise<Lab> {
  if (options.folder !== undefined) return openLab(options.folder);
  if (options.name !== undefined) return openNamed(options.name);
  const labs = await listLabs();
  return openNamed(labs.length === 1 && labs[0] !== undefined ? labs[0] : 'lab');
}

function openNamed(name: string): Promise<Lab> {
  return openLab(labFolder(name));
}

function describe(lab: LabStatus): string {
  const services = Object.entries(lab.services).map(([name, { pid }]) => `${name} (pid ${pid})`);
  const rows = lab.nodes.map((node) => [
    node.name,
    node.power.on ? 'on' : `off (${node.power.why})`,
    node.firmware,
    node.secureBoot ? 'yes' : 'no',
    node.tpm ? 'yes' : 'no',
    `${node.memoryMiB}`,
    node.mac,
    node.serial,
    node.bmc ?? '',
  ]);
  return [
    `Lab ${lab.name}: namespace ${lab.namespace}, ${lab.accelerator}, folder ${lab.folder}, data ${lab.dataFolder}`,
    `Beside the nodes: ${services.join(', ') || 'nothing runs'}`,
    table(['NODE', 'POWER', 'FIRMWARE', 'SECURE BOOT', 'TPM', 'MIB', 'MAC', 'SERIAL', 'BMC'], rows),
  ].join('\n');
}

function whole(least: number, most: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (Number.isInteger(number) && number >= least && number <= most) return number;
    throw new InvalidArgumentError(`it must be a whole number from ${least} to ${most}`);
  };
}

function firmwares(text: string): Firmware[] {
  return text.split(',').map((word) => {
    const known = FIRMWARES.find((one) => one === word);
    if (known !== undefined) return known;
    throw new InvalidArgumentError(`it is made of ${FIRMWARES.join(', ')}`);
  });
}

function powers(text: string): string {
  if (['turn', 'all', 'off'].includes(text)) return text;
  throw new InvalidArgumentError('it is turn, all or off');
}
