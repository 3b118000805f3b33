/**
 * A machine's serial port by SSH, as its BMC says in Redfish where that is (DSP0268, ComputerSystem, SerialConsole.SSH). SSH has no certificate that
 * a person could have compared: the host key that was shown first is the one that must be shown ever after.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import ssh2, { type Client, type ClientChannel } from 'ssh2';
import { whyText } from '../../base/error.ts';
import { sha256 } from '../../formats/digest.ts';
import { type Access, badLogin, bmcError, LIMITS, type SerialLine, silent } from './bmc.ts';

/** Milliseconds: two questions whether it is still there, of which three without an answer end it; until it has let go of its session. */
const ALIVE = 15_000;
const CLOSE = 5_000;

/** `command`: what its command line is told first, where the console is not what answers at that port. */
export type Offered = { port: number; command: string | null };

/** @throws BootwaveError `BMC_SILENT`, `BMC_LOGIN`, `BMC_PIN`, `CONSOLE_TAKEN` */
export async function openSshSerial(
  access: Access,
  { port, command }: Offered,
  until: AbortSignal,
): Promise<SerialLine> {
  const { host } = access;
  const client = new ssh2.Client();
  const over = Promise.withResolvers<string>();
  client.on('error', (error) => over.resolve(`the BMC broke off: ${error.message}`));
  client.on('close', () => over.resolve('the BMC has ended it'));
  const close = async () => {
    client.end();
    await Promise.race([over.promise, sleep(CLOSE, undefined, { ref: false })]);
    client.destroy();
  };
  const late = AbortSignal.any([until, AbortSignal.timeout(LIMITS.question)]);
  try {
    const hostKey = await connected(client, access, port, late);
    const stream = await shell(client, host, late);
    stream.on('error', () => {}).on('close', () => over.resolve('the BMC has ended it'));
    stream.stderr.resume();
    if (command !== null) stream.write(`${command}\r`);
    const type = async (bytes: Uint8Array) => {
      if (!stream.writable || stream.write(bytes)) return;
      await Promise.race([once(stream, 'drain'), over.promise]);
    };
    return { output: stream, type, ended: over.promise, close, hostKey };
  } catch (error) {
    await close();
    until.throwIfAborted();
    throw late.aborted ? silent(host, error) : error;
  }
}

/** The password is sent only to whoever has the right key. @returns SHA-256 of the key that was shown, hex */
function connected(client: Client, access: Access, port: number, signal: AbortSignal): Promise<string> {
  const { host, user, password, hostKey: pinned } = access;
  let shown = '';
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    signal.throwIfAborted();
    client.once('ready', () => resolve(shown));
    client.once('close', () => reject(silent(host)));
    client.once('error', (error: Error & { level?: string }) => {
      if (shown !== '' && pinned != null && shown !== pinned) reject(otherKey(host, shown));
      else reject(error.level === 'client-authentication' ? badLogin(host) : silent(host, error));
    });
    // Some take no password but by questions (RFC 4256).
    client.on('keyboard-interactive', (_name, _instructions, _language, prompts, finish) =>
      finish(prompts.map(() => password)),
    );
    client.connect({
      ...{ host, port, username: user, password, tryKeyboard: true },
      ...{ readyTimeout: 0, keepaliveInterval: ALIVE, keepaliveCountMax: 3 },
      hostVerifier(key: Buffer) {
        shown = sha256(key).toString('hex');
        return pinned == null || shown === pinned;
      },
    });
  });
}

function shell(client: Client, host: string, signal: AbortSignal): Promise<ClientChannel> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    client.once('close', () => reject(silent(host)));
    client.shell({ term: 'vt100' }, (error, stream) => {
      if (error === undefined) resolve(stream);
      else
        reject(
          bmcError(
            'CONSOLE_TAKEN',
            `the BMC at ${host} opens no console now: ${whyText(error)}`,
            'somebody else may have it: end their session by the page of the BMC',
          ),
        );
    });
  });
}

/** As OpenSSH writes it. */
export const hostKeyText = (hex: string): string =>
  `SHA256:${Buffer.from(hex, 'hex').toString('base64').replace(/=+$/, '')}`;

const otherKey = (host: string, shown: string) =>
  bmcError(
    'BMC_PIN',
    `the console of the BMC at ${host} shows another SSH host key than at first: ${hostKeyText(shown)}`,
    "the password was not sent to it; if the BMC got a new key, compare it on its own page, then 'bootwave node bmc set' again",
  );
