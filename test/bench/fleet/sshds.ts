/**
 * Real sshds in a network namespace of their own, one process and one address each: Debian's sshd with the image's
 * sshd_config, the link's account with its relay, and beside it an account with a shell for tools that need one.
 * Behind the link of each stands a simulated node (lab/sim/sshd-door.ts).
 */
import { spawn } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mustRun, run } from '../../../base/run.ts';
import { buildRelay } from '../../../image/agent/member/link/relay/build.ts';
import { type HostKey, makeHostKey } from '../../../image/agent/root/host-key.ts';
import { simAddress } from '../../../lab/sim/enrolment.ts';
import { SSHD_FILES } from '../../../lab/sim/sshd-door.ts';
import { LINK_ACCOUNT } from '../../../protocol/link/messages.ts';

/** The account with a shell. */
export const SHELL_ACCOUNT = 'bench';
const UIDS = { link: 64_998, shell: 64_999 } as const;

const CONFIG = fileURLToPath(new URL('../../../image/rootfs/usr/lib/bootwave/sshd_config', import.meta.url));

export type Sshds = {
  folder: string;
  namespace: string;
  addresses: string[];
  /** The key that may log in to both accounts. */
  client: HostKey;
  clientFile: string;
  /** OpenSSH known_hosts with all host keys. */
  knownHosts: string;
  close(): Promise<void>;
};

/** One after the other; each goes to the background of a shell that waits for all of them. */
const SCRIPT = `set -e
folder=$1; shift
ip link set lo up
while read -r number address; do
  unshare --mount sh -c '
    set -e
    mount -t tmpfs -o mode=755 tmpfs /run
    mkdir -p /run/sshd /run/bootwave-link /run/bench
    cp "$1/client.pub" /run/bench/client.pub
    mount --bind "$1/$2/link" /run/bootwave-link
    for file in passwd shadow group; do mount --bind "$1/$file" "/etc/$file"; done
    exec setpriv --pdeathsig KILL /usr/sbin/sshd -D -e -f "$1/sshd_config" -h "$1/$2/${SSHD_FILES.hostKey}" -o "ListenAddress=$3"
  ' sh "$folder" "$number" "$address" 2>>"$folder/sshd.log" &
done <"$folder/nodes"
while read -r number address; do
  until (: >"/dev/tcp/$address/22") 2>/dev/null; do sleep 0.1; done
done <"$folder/nodes"
echo ready
wait`;

export async function startSshds(count: number): Promise<Sshds> {
  const folder = await mkdtemp(join(tmpdir(), 'bw-bench-sshds-'));
  const namespace = `bw-bench-${process.pid}`;
  const close = async () => {
    // Only what runs in the namespace that was made here.
    const { stdout } = await run('ip', ['netns', 'pids', namespace]);
    for (const pid of stdout.split('\n').filter(Boolean)) await run('kill', ['-KILL', pid]);
    await run('ip', ['netns', 'delete', namespace]);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const client = makeHostKey();
    const addresses = Array.from({ length: count }, (_, n) => simAddress(n));
    await writeFolder(folder, addresses, client);
    await mustRun('ip', ['netns', 'add', namespace]);
    const child = spawn('ip', ['netns', 'exec', namespace, 'bash', '-c', SCRIPT, 'bash', folder], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise<void>((resolve, reject) => {
      child.stdout.once('data', () => resolve());
      child.once('exit', (code) => reject(new Error(`the sshds ended with ${code}`)));
    });
    return {
      folder,
      namespace,
      addresses,
      client,
      clientFile: join(folder, 'client'),
      knownHosts: join(folder, 'known_hosts'),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function writeFolder(folder: string, addresses: string[], client: HostKey): Promise<void> {
  await chmod(folder, 0o755);
  await writeFile(join(folder, 'client'), client.file, { mode: 0o600 });
  await writeFile(join(folder, 'client.pub'), `${client.line}\n`, { mode: 0o644 });
  const relay = join(folder, 'link-relay');
  await buildRelay(relay);
  const add = async (file: string, ...lines: string[]): Promise<void> =>
    writeFile(join(folder, file), `${await readFile(`/etc/${file}`, 'utf8')}${lines.join('\n')}\n`);
  const { link, shell } = UIDS;
  await add(
    'passwd',
    `${LINK_ACCOUNT}:x:${link}:${link}::/:${relay}`,
    `${SHELL_ACCOUNT}:x:${shell}:${shell}::/:/bin/sh`,
  );
  await add('shadow', `${LINK_ACCOUNT}:*:::::::`, `${SHELL_ACCOUNT}:*:::::::`);
  await add('group', `${LINK_ACCOUNT}:x:${link}:`, `${SHELL_ACCOUNT}:x:${shell}:`);
  const config = (await readFile(CONFIG, 'utf8'))
    .replace(/^HostKey .*$/m, '')
    .replace(/^AllowUsers .*$/m, `AllowUsers ${LINK_ACCOUNT} ${SHELL_ACCOUNT}`)
    .replace(/^AuthorizedKeysFile .*$/m, 'AuthorizedKeysFile /run/bench/client.pub')
    .replace(/^LogLevel .*$/m, 'LogLevel ERROR');
  await writeFile(join(folder, 'sshd_config'), config);
  const known: string[] = [];
  for (const [n, address] of addresses.entries()) {
    const own = join(folder, String(n));
    await mkdir(join(own, 'link'), { recursive: true });
    // As tmpfiles.d says: the relay's group, and nobody else, may connect.
    await chown(join(own, 'link'), 0, link);
    await chmod(join(own, 'link'), 0o2750);
    const key = makeHostKey();
    await writeFile(join(own, SSHD_FILES.hostKey), key.file, { mode: 0o600 });
    await writeFile(join(own, SSHD_FILES.hostKeyPub), `${key.line}\n`);
    known.push(`${address} ${key.line}`);
  }
  await writeFile(join(folder, 'known_hosts'), `${known.join('\n')}\n`);
  await writeFile(join(folder, 'nodes'), `${addresses.map((address, n) => `${n} ${address}`).join('\n')}\n`);
}
