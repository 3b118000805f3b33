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

/** @param clientPub line of the key that may log in */
export async function nodeSshd(clientPub: string): Promise<NodeSshd> {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-sshd-'));
  await chmod(folder, 0o755);
  const ours = join(folder, 'lib/bootwave');
  const ssh = join(folder, 'ssh');
  const link = join(folder, 'link');
  for (const path of [join(ours, 'fleet'), ssh, link]) await mkdir(path, { recursive: true });
  await writeFile(join(ours, 'fleet/client.pub'), clientPub, { mode: 0o644 });
  await copyFile(join(ROOTFS, 'usr/lib/bootwave/sshd_config'), join(ours, 'sshd_config'));
  await buildRelay(join(ours, 'link-relay'));
  const uid = await writeAccounts(folder);
  // As tmpfiles.d says.
  await chown(link, 0, uid);
  await chmod(link, 0o2750);

  const port = await freePort();
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
      mount -t tmpfs tmpfs /run
      mkdir -p /run/sshd /run/bootwave/ssh /run/bootwave-link
      mount --bind "$1/ssh" /run/bootwave/ssh
      mount --bind "$1/link" /run/bootwave-link
      for file in passwd shadow group; do mount --bind "$1/$file" "/etc/$file"; done
      mount -t overlay overlay -o "lowerdir=$1/lib:/usr/lib" /usr/lib
      exec setpriv --pdeathsig KILL --no-new-privs --inh-caps=-all --bounding-set="$3" \
        /usr/sbin/sshd -D -e -f /usr/lib/bootwave/sshd_config -p "$2" -o ListenAddress=127.0.0.1`;
    const args = ['--mount', 'sh', '-c', script, 'sh', folder, String(port), await capabilities()];
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
    log: () => log,
    target: (id) => ({ id, host: '127.0.0.1', port, hostKey: hostKey.line, group: 'site' }),
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

/** The host's accounts and the link's, as sysusers.d names it and image/build/trim.ts leaves it. */
async function writeAccounts(folder: string): Promise<number> {
  const line = (await readFile(join(ROOTFS, 'usr/lib/sysusers.d/bootwave-link.conf'), 'utf8'))
    .split('\n')
    .find((text) => text.startsWith('u '));
  const [, name, uid, , home, shell] = /^u (\S+) (\d+) "([^"]*)" (\S+) (\S+)$/.exec(line ?? '') ?? [];
  if (name === undefined) throw new Error('sysusers.d/bootwave-link.conf names no account');
  const add = async (file: string, text: string): Promise<void> =>
    writeFile(join(folder, file), `${await readFile(`/etc/${file}`, 'utf8')}${text}\n`);
  await add('passwd', `${name}:x:${uid}:${uid}::${home}:${shell}`);
  await add('shadow', `${name}:*:::::::`);
  await add('group', `${name}:x:${uid}:`);
  return Number(uid);
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
