/**
 * People whom sudo lets run commands as root, as one operator (`bin/bootwave-as`). Their command line must not make
 * root read, write or become anything that they could not themselves.
 */
import { readFile } from 'node:fs/promises';
import { BootwaveError } from '../../base/error.ts';
import { run } from '../../base/run.ts';

/** Who they are, where the fleet's files lie, and files that root would read or write for them. */
const NOT_THEIRS = [
  'as',
  'data',
  'server',
  'root',
  'config',
  'to',
  'out',
  'save',
  'keys',
  'key',
  'last',
  'oci',
  'manifest',
  'bundle',
  'recipients',
  'survivor',
] as const;

export type Asked = {
  /** `node approve`. */
  command: string;
  /** Whether everybody may, with or without a certificate. */
  isForAnyone: boolean;
  /** Names of the options on the command line. */
  options: readonly string[];
  /** How many arguments were given. */
  args: number;
};

const isBehindSudo = (env: NodeJS.ProcessEnv = process.env): boolean => env.BOOTWAVE_BEHIND_SUDO === '1';

/** @returns why root must not do that for them; null: it may */
export function refusedBehindSudo({ command, isForAnyone, options, args }: Asked): BootwaveError | null {
  const refuse = (what: string) => refusal(`behind sudo ${what}`);
  if (isForAnyone) return refuse(`'bootwave ${command}' would be root's; run it as yourself`);
  const option = NOT_THEIRS.find((one) => options.includes(one));
  if (option !== undefined)
    return refuse(`--${option} is not yours to give; use standard output where you can`);
  if (command === 'audit verify' && args > 0)
    return refuse('no export is checked; that needs no rights: run it as yourself');
  if (command === 'incident take') return refuse('no file is written that you name');
  if (command === 'keys ceremony') return refuse('no keys are written to a directory that you name');
  return null;
}

/**
 * A file that somebody named on the command line, read with their own rights.
 * @throws the system's error; BootwaveError `OPERATOR_SUDO`
 */
export async function readNamedFile(file: string, env: NodeJS.ProcessEnv = process.env): Promise<Buffer> {
  if (!isBehindSudo(env)) return readFile(file);
  const { SUDO_UID = '', SUDO_GID = '' } = env;
  if (!/^\d+$/.test(SUDO_UID) || !/^\d+$/.test(SUDO_GID))
    throw refusal('sudo does not say whose rights count');
  const them = ['--reuid', SUDO_UID, '--regid', SUDO_GID, '--init-groups', '--inh-caps=-all'];
  const { code, stdout, stderr } = await run('setpriv', [...them, '--', 'base64', '-w0', '--', file], {
    env: { PATH: '/usr/bin:/bin' },
  });
  if (code !== 0) throw new Error(`${file} cannot be read by you: ${stderr.trim().slice(0, 200)}`);
  return Buffer.from(stdout, 'base64');
}

function refusal(what: string): BootwaveError {
  return new BootwaveError({
    code: 'OPERATOR_SUDO',
    what,
    unchanged: 'nothing was changed',
    next: 'docs/operators.md says what sudo is for',
  });
}
