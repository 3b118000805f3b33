/** Real BMCs of the lab over a machine that is only a switch: `ipmi_sim`, and the lab's Redfish. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { Board, type Machine } from '../../../lab/bmc/board.ts';
import { serveBoards } from '../../../lab/bmc/control.ts';
import { prepareSim } from '../../../lab/bmc/ipmi-sim.ts';
import { selfSigned, serveRedfish } from '../../../lab/bmc/redfish-server.ts';
import { type SshConsole, serveSshConsole } from '../../../lab/bmc/ssh-console.ts';
import type { Access, Kind } from '../../../orchestrator/power/bmc.ts';
import { ipmi } from '../../../orchestrator/power/ipmi.ts';
import { shownPin } from '../../../orchestrator/power/pinned.ts';
import { freePort } from '../../support/free-port.ts';

export const USER = 'bootwave';
export const PASSWORD = 'lab-Secret/1';
export const SWITCH = { uuid: 'ed5e00d6-7ebd-835a-b6f3-a79e7b0e75fe', serial: 'BW-1' };

/** A machine that is only a switch, and what was done with it. */
export class Switch implements Machine {
  uuid = SWITCH.uuid;
  serial = SWITCH.serial;
  power = false;
  /** Says yes, and does nothing. */
  stuck = false;
  readonly done: string[] = [];

  async isOn() {
    return this.power;
  }
  async on(boot?: 'network' | 'disk') {
    this.done.push(boot === undefined ? 'on' : `on from ${boot}`);
    if (!this.stuck) this.power = true;
  }
  async off() {
    this.done.push('off');
    if (!this.stuck) this.power = false;
  }
  async reset() {
    this.done.push('reset');
  }
}

export type Bench = {
  machine: Switch;
  board: Board;
  access: Access;
  folder: string;
  stop(): Promise<void>;
  ssh?: SshConsole | undefined;
};

const signal = new AbortController().signal;
export const never = signal;

export async function bench(
  t: ExecutionContext,
  kind: Kind,
  login = { user: USER, password: PASSWORD },
  serial?: number,
): Promise<Bench> {
  const folder = await mkdtemp(join(tmpdir(), 'bw-'));
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
  const machine = new Switch();
  const board = new Board(machine);
  const common = { kind, host: '127.0.0.1', port: await freePort(), ...login };
  if (kind === 'redfish') {
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    await selfSigned(key, cert);
    const keys = { key: await readFile(key), cert: await readFile(cert) };
    const ssh =
      serial === undefined ? undefined : await serveSshConsole({ ...common, ...keys, port: 0, serial });
    const server = await serveRedfish(board, { ...common, ...keys, console: ssh?.port });
    const stop = async () => {
      ssh?.close();
      server.closeAllConnections();
      server.close();
    };
    t.teardown(stop);
    const pin = await shownPin(common, signal);
    return { machine, board, folder, stop, ssh, access: { ...common, pin, suite: null } };
  }
  const control = join(folder, 'control');
  const server = await serveBoards(control, new Map([['n1', board]]));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const args = await prepareSim({
    ...{ ...common, folder: join(folder, 'sim'), address: '127.0.0.1', control, name: 'n1' },
    uuid: machine.uuid,
    serial,
  });
  const child = spawn('ipmi_sim', args, { stdio: 'ignore' });
  const ended = once(child, 'exit');
  const stop = async () => {
    child.kill('SIGKILL');
    await ended;
  };
  t.teardown(stop);
  const access: Access = { ...common, pin: null, suite: null };
  // It says nothing when it listens.
  for (let tries = 0; tries < 50; tries++) {
    if (
      await ipmi(access, signal)
        .power()
        .catch(() => null)
    )
      break;
    await sleep(50);
  }
  return { machine, board, access, folder, stop };
}
