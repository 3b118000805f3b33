import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { mustRun } from '../../../../base/run.ts';
import { until } from '../../../support/until.ts';

const listens = (path: string) =>
  new Promise<boolean>((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });

/** A software TPM 2.0 of its own on a unix socket; its seeds are in `folder`, so the same folder is the same TPM. */
export class SoftwareTpm {
  readonly #folder: string;
  #child: ChildProcess | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(folder: string) {
    this.#folder = folder;
  }

  get environment(): NodeJS.ProcessEnv {
    return { ...process.env, TPM2TOOLS_TCTI: `swtpm:path=${join(this.#folder, 'tpm.sock')}` };
  }

  /**
   * Before the first start: gives the TPM an EK certificate, as its maker does.
   * @param maker folder of the maker's CA, made where there is none: `issuer.pem` signs, its root is `swtpm-localca-rootca-cert.pem`
   */
  async manufacture(maker: string): Promise<void> {
    const state = join(this.#folder, 'state');
    await mkdir(state, { recursive: true });
    await mkdir(maker, { recursive: true });
    const file = (name: string) => join(maker, name);
    await writeFile(
      file('localca.conf'),
      [
        `statedir = ${maker}`,
        `signingkey = ${file('signkey.pem')}`,
        `issuercert = ${file('issuer.pem')}`,
        `certserial = ${file('serial')}`,
      ].join('\n'),
    );
    await writeFile(
      file('options'),
      '--platform-manufacturer Test --platform-version 1 --platform-model Box\n',
    );
    await writeFile(
      file('setup.conf'),
      [
        'create_certs_tool = /usr/bin/swtpm_localca',
        `create_certs_tool_config = ${file('localca.conf')}`,
        `create_certs_tool_options = ${file('options')}`,
      ].join('\n'),
    );
    const args = ['--tpm2', '--tpmstate', state, '--create-ek-cert', '--config', file('setup.conf')];
    await mustRun('swtpm_setup', args, { timeout: 120_000 });
  }

  async start(): Promise<this> {
    const state = join(this.#folder, 'state');
    const socket = join(this.#folder, 'tpm.sock');
    await mkdir(state, { recursive: true });
    this.#child = spawn(
      'swtpm',
      [
        ...['socket', '--tpm2', '--tpmstate', `dir=${state}`],
        ...['--server', `type=unixio,path=${socket}`, '--ctrl', `type=unixio,path=${socket}.ctrl`],
        ...['--flags', 'not-need-init,startup-clear'],
      ],
      { stdio: 'ignore' },
    );
    // Its file is there before it listens.
    await until(() => listens(socket), { within: 60_000, story: () => 'swtpm does not start' });
    return this;
  }

  /** Without the kernel's resource manager one user at a time is what a TPM bears. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work, work);
    this.#last = turn.catch(() => {});
    return turn;
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await ended;
    this.#child = undefined;
  }
}
