/** Ansible and pdsh doing three commands on every node, one after the other, as our three steps follow each other. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { mustRun, run } from '../../../base/run.ts';
import { SHELL_ACCOUNT, type Sshds } from './sshds.ts';

/** For our stage, activate and the status that shows the new boot. They do as little as a command can. */
const COMMANDS = ['true', 'true', 'cat /proc/sys/kernel/random/boot_id'];

export type Peer = {
  name: string;
  /** Milliseconds for all nodes. */
  measure(sshds: Sshds, forks: number): Promise<number>;
};

async function timed(sshds: Sshds, program: string, args: string[], env: NodeJS.ProcessEnv): Promise<number> {
  const started = performance.now();
  await mustRun('ip', ['netns', 'exec', sshds.namespace, program, ...args], {
    env: { ...process.env, ...env },
  });
  return performance.now() - started;
}

const options = ({ knownHosts, clientFile }: Sshds) =>
  `-o UserKnownHostsFile=${knownHosts} -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes -i ${clientFile}`;

export const ansible: Peer = {
  name: 'Ansible',
  async measure(sshds, forks) {
    const { folder, addresses } = sshds;
    await writeFile(join(folder, 'hosts'), `${addresses.join('\n')}\n`);
    const tasks = COMMANDS.map((command) => ({ 'ansible.builtin.raw': command, changed_when: false }));
    // YAML is a superset of JSON.
    await writeFile(
      join(folder, 'play.yml'),
      JSON.stringify([{ hosts: 'all', gather_facts: false, serial: forks, tasks }]),
    );
    // As its own documentation advises for speed: one connection a host, kept for all tasks.
    const control = `-o ControlMaster=auto -o ControlPersist=60s -o ControlPath=${folder}/cm-%h`;
    const took = await timed(
      sshds,
      'ansible-playbook',
      ['-i', join(folder, 'hosts'), join(folder, 'play.yml')],
      {
        ANSIBLE_FORKS: String(forks),
        ANSIBLE_REMOTE_USER: SHELL_ACCOUNT,
        ANSIBLE_SSH_ARGS: `${control} ${options(sshds)}`,
        ANSIBLE_HOME: join(folder, 'ansible'),
        // Refused by the image's sshd_config, and slower where it is not.
        ANSIBLE_SSH_USETTY: 'False',
        ANSIBLE_LOCAL_TEMP: join(folder, 'ansible/tmp'),
      },
    );
    for (const address of addresses)
      await run('ssh', ['-o', `ControlPath=${folder}/cm-${address}`, '-O', 'exit', address]);
    return took;
  },
};

export const pdsh: Peer = {
  name: 'pdsh',
  async measure(sshds, forks) {
    const hosts = join(sshds.folder, 'hosts');
    await writeFile(hosts, `${sshds.addresses.join('\n')}\n`);
    let took = 0;
    for (const command of COMMANDS) {
      took += await timed(
        sshds,
        'pdsh',
        ['-S', '-R', 'ssh', '-f', String(forks), '-l', SHELL_ACCOUNT, '-w', `^${hosts}`, command],
        { PDSH_SSH_ARGS_APPEND: options(sshds) },
      );
    }
    return took;
  },
};
