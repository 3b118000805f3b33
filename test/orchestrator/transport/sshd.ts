/**
 * A node's sshd on loopback: Debian's sshd with the image's own sshd_config, account, relay and keys, in a mount
 * namespace where these stand at the paths that they have in the image. What differs from the image: port and
 * address; the agent runs as root instead of `bootwave`; no systemd unit around it, but its capabilities.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, chown, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildRelay } from '../../../image/agent/member/link/relay/build.ts';
import { HOST_KEY_FILE, type HostKey, makeHostKey } from '../../../image/agent/root/host-key.ts';
import type { LinkTarget } from '../../../orchestrator/transport/channel.ts';
import { RESCUE_COMMAND, RESCUE_SOCKET } from '../../../protocol/agent/rescue.ts';
import { freePort } from '../../support/free-port.ts';

const ROOTFS = fileURLToPath(new URL('../../../image/rootfs', import.meta.url));
const UNIT = join(ROOTFS, 'usr/lib/systemd/system/bootwave-sshd.service');

/** Everything that needs it asks for root; without it these tests cannot mount. */
export const isRoot = process.getuid?.() === 0;

export type NodeSshd = {
  folder: string;
  port: number;
  hostKey: HostKey;
  /** For createLinkServer: the agent's socket, outside of the namespace. */
  socketPath: string;
  /** What is /run/bootwave in the namespace, and the group that may reach the socket of looks there. */
  run: string;
  looker: number;
  /** Of sshd, whose mount namespace is the node's. */
  readonly pid: number;
  /** What sshd has logged so far. */
  log(): string;
  target(id: string): LinkTarget;
  /** Gives the node another host key, as a restart does. */
  changeHostKey(): Promise<HostKey>;
  start(): Promise<void>;
  /** SIGKILL to sshd and every session of it. */
  kill(): Promise<void>;
  remove(): Promise<void>;
};

/** @param clientPub line of the key that may log in @param place on loopback; at a free port without it */
export async function nodeSshd(clientPub: string, place?: { host: string; port: number }): Promise<NodeSshd> {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-sshd-'));
  await chmod(folder, 0o755);
  const ours = join(folder, 'lib/bootwave');
  const ssh = join(folder, 'ssh');
  const link = join(folder, 'link');
  const run = join(folder, 'run');
  for (const path of [join(ours, 'fleet'), ssh, link, run]) await mkdir(path, { recursive: true });
  await writeFile(join(ours, 'fleet/client.pub'), clientPub, { mode: 0o644 });
  await copyFile(join(ROOTFS, 'usr/lib/bootwave/sshd_config'), join(ours, 'sshd_config'));
  await buildRelay(join(ours, 'link-relay'));
  await buildRelay(join(ours, 'rescue-relay'), RESCUE_SOCKET, RESCUE_COMMAND);
  const [uid, looker] = (await writeAccounts(folder)) as [number, number];
  // As tmpfiles.d says.
  await chown(link, 0, uid);
  await chmod(link, 0o2750);

  const { host, port } = place ?? { host: '127.0.0.1', port: await freePort() };
  let hostKey = makeHostKey();
  await writeFile(join(ssh, HOST_KEY_FILE), hostKey.file, { mode: 0o600 });
  let child: ChildProcess | null = null;
  let log = '';

  const kill = async (): Promise<void> => {
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child?.once('exit', resolve));
    for (const pid of [...(await descendants(child.pid)), child.pid]) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
    await gone;
  };
  const start = async (): Promise<void> => {
    const script = `set -e
      mount -t tmpfs -o mode=0755 tmpfs /run
      mkdir -p /run/sshd /run/bootwave /run/bootwave-link
      mount --bind "$1/run" /run/bootwave
      mkdir -p /run/bootwave/ssh
      mount --bind "$1/ssh" /run/bootwave/ssh
      mount --bind "$1/link" /run/bootwave-link
      for file in passwd shadow group; do mount --bind "$1/$file" "/etc/$file"; done
      mount -t overlay overlay -o "lowerdir=$1/lib:/usr/lib" /usr/lib
      exec setpriv --pdeathsig KILL --no-new-privs --inh-caps=-all --bounding-set="$3" \
        /usr/sbin/sshd -D -e -f /usr/lib/bootwave/sshd_config -p "$2" -o "ListenAddress=$4"`;
    const args = ['--mount', 'sh', '-c', script, 'sh', folder, String(port), await capabilities(), host];
    const started = spawn('unshare', args, { stdio: ['ignore', 'ignore', 'pipe'] });
    child = started;
    const from = log.length;
    await new Promise<void>((resolve, reject) => {
      started.stderr.on('data', (text: Buffer) => {
        log += text.toString();
        if (log.includes('Server listening', from)) resolve();
      });
      started.once('exit', () => reject(new Error(`sshd ended:\n${log}`)));
    });
  };
  await start();
  return {
    folder,
    port,
    get hostKey() {
      return hostKey;
    },
    socketPath: join(link, 'agent.sock'),
    run,
    looker,
    get pid() {
      return child?.pid ?? 0;
    },
    log: () => log,
    target: (id) => ({ id, name: 'web1', host, port, hostKey: hostKey.line, group: 'site' }),
    async changeHostKey() {
      hostKey = makeHostKey();
      await writeFile(join(ssh, HOST_KEY_FILE), hostKey.file, { mode: 0o600 });
      return hostKey;
    },
    start,
    kill,
    async remove() {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The host's accounts and those that sshd lets in, as sysusers.d names them and image/build/trim.ts leaves them. @returns their ids */
async function writeAccounts(folder: string): Promise<number[]> {
  const files = { passwd: '', shadow: '', group: '' };
  for (const file of Object.keys(files) as (keyof typeof files)[])
    files[file] = await readFile(`/etc/${file}`, 'utf8');
  const ids: number[] = [];
  for (const account of ['bootwave-link', 'bootwave-rescue']) {
    const text = await readFile(join(ROOTFS, `usr/lib/sysusers.d/${account}.conf`), 'utf8');
    const [, name, uid, , home, shell] = /^u (\S+) (\d+) "([^"]*)" (\S+) (\S+)$/m.exec(text) ?? [];
    if (name === undefined) throw new Error(`sysusers.d/${account}.conf names no account`);
    files.passwd += `${name}:x:${uid}:${uid}::${home}:${shell}\n`;
    files.shadow += `${name}:*:::::::\n`;
    files.group += `${name}:x:${uid}:\n`;
    ids.push(Number(uid));
  }
  for (const [file, text] of Object.entries(files)) await writeFile(join(folder, file), text);
  return ids;
}

/** The unit's CapabilityBoundingSet, as setpriv writes it. */
async function capabilities(): Promise<string> {
  const names = /^CapabilityBoundingSet=(.*)$/m.exec(await readFile(UNIT, 'utf8'))?.[1]?.split(' ') ?? [];
  return ['-all', ...names.map((name) => `+${name.replace(/^CAP_/, '').toLowerCase()}`)].join(',');
}

async function descendants(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  const children = text.trim().split(/\s+/).filter(Boolean).map(Number);
  return [...children, ...(await Promise.all(children.map(descendants))).flat()];
}
