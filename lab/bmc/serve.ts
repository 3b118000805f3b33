/**
 * All BMCs of a lab, in one process that runs beside its nodes: `node serve.ts LAB_FOLDER`. Says `ready` when they can be
 * reached, and ends with SIGTERM.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../base/error.ts';
import { createFileAtomic } from '../../base/files.ts';
import { type Lab, openLab } from '../lab.ts';
import type { LabNode } from '../spec.ts';
import { Board } from './board.ts';
import { serveBoards } from './control.ts';
import { prepareSim } from './ipmi-sim.ts';
import { bmcAddress } from './network.ts';
import { selfSigned, serveRedfish } from './redfish-server.ts';
import { serveSerial } from './serial.ts';
import { serveSshConsole } from './ssh-console.ts';
import { BMC_USER, bmcFiles } from './start.ts';

const PORTS = { ipmi: 623, redfish: 443, console: 22 } as const;

const [folder = ''] = process.argv.slice(2);
const lab = await openLab(folder);
const files = bmcFiles(folder);
await mkdir(files.folder, { recursive: true, mode: 0o700 });
await createFileAtomic(files.password, `${randomBytes(9).toString('base64url')}\n`);
const password = (await readFile(files.password, 'utf8')).trim();
const boards = new Map(lab.nodes.map((node) => [node.name, boardOf(lab, node)]));
const children: ChildProcess[] = [];
let stops = false;

if (lab.bmc !== 'ipmi') await serveAllRedfish();
if (lab.bmc !== 'redfish') await serveAllIpmi();
console.log('ready');

const [signal] = await once(process, 'SIGTERM');
stops = true;
for (const child of children) child.kill('SIGKILL');
console.log(`ended by ${signal}`);
process.exit(0);

function boardOf(one: Lab, { name, uuid, serial }: LabNode): Board {
  const machine = {
    ...{ uuid, serial },
    isOn: () => one.isOn(name),
    on: (boot?: 'network' | 'disk') => one.powerOn(name, boot === undefined ? {} : { boot }),
    off: () => one.powerOff(name),
    reset: () => one.reset(name),
  };
  return new Board(machine, (error) => console.log(`${name}: ${messageOf(error)}`));
}

async function serveAllRedfish(): Promise<void> {
  await selfSigned(files.key, files.certificate);
  const [key, cert] = await Promise.all([readFile(files.key), readFile(files.certificate)]);
  for (const { name, index } of lab.nodes) {
    const host = bmcAddress(index);
    const login = { user: BMC_USER, password };
    const { port: serial } = await serialOf(name);
    const { port: console } = await serveSshConsole({ ...login, host, port: PORTS.console, key, serial });
    await serveRedfish(boards.get(name)!, { ...login, host, port: PORTS.redfish, key, cert, console });
  }
}

async function serveAllIpmi(): Promise<void> {
  await rm(files.control, { force: true });
  await serveBoards(files.control, boards);
  for (const { name, index, uuid } of lab.nodes) {
    const serial = await serialOf(name);
    const args = await prepareSim({
      ...{
        folder: join(files.folder, name),
        address: bmcAddress(index),
        port: PORTS.ipmi,
        user: BMC_USER,
        password,
      },
      ...{ uuid, control: files.control, name, serial: serial.port },
    });
    const child = spawn('ipmi_sim', args, { stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('error', (error) => console.log(`${name}: ipmi_sim: ${error.message}`));
    child.on('exit', (code, by) => {
      if (!stops) console.log(`${name}: its BMC ended: ${code ?? by}`);
    });
    children.push(child);
  }
  // It says nothing when it listens.
  while (listening() < lab.nodes.length && children.every(({ exitCode }) => exitCode === null))
    await sleep(20);
}

function serialOf(name: string) {
  const type = async (text: string) => (await lab.console(name)).write(text);
  return serveSerial(lab.node(name).files.consoleLog, type);
}

/** UDP sockets of this namespace on the port of IPMI. */
function listening(): number {
  const port = `:${PORTS.ipmi.toString(16).toUpperCase().padStart(4, '0')} `;
  return udpSockets()
    .split('\n')
    .filter((line) => line.slice(0, 40).includes(port)).length;
}

function udpSockets(): string {
  return readFileSync('/proc/self/net/udp', 'utf8');
}
