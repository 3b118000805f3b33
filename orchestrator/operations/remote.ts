/**
 * The connection to a server elsewhere: mutual TLS; its certificate is checked against the fleet's root and the servers
 * CA.
 */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:tls';
import { BootwaveError, messageOf } from '../../base/error.ts';
import { checkBootServer } from '../../keys/server-identity.ts';
import { SERVER_NAME } from '../../protocol/enrolment/messages.ts';
import type { Way } from './client.ts';

/** Milliseconds. */
const CONNECT = 15_000;
const PEM = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

export type Elsewhere = {
  /** `https://HOST:PORT`. */
  url: string;
  /** File with certificate and key of the caller. */
  as: string;
  /** File with the fleet's root certificate; absent: it is in `as`. */
  root?: string | undefined;
};

/** @throws BootwaveError `SERVER_URL`, `SERVER_ROOT` */
export async function remoteWay({ url, as, root: rootFile }: Elsewhere): Promise<Way> {
  const { host, port } = addressIn(url);
  const pem = await readFile(as, 'utf8');
  const root = await rootIn(rootFile ?? as);
  return {
    name: url,
    proven: true,
    open: () =>
      new Promise((resolve, reject) => {
        const socket = connect({
          ...{ host, port, key: pem, cert: (pem.match(PEM) ?? []).join('\n') },
          ca: root.toString(),
          minVersion: 'TLSv1.3',
          // A fixed name: the address of a server does not prove what it is.
          servername: SERVER_NAME,
          checkServerIdentity: (_, peer) =>
            checkBootServer(peer as Parameters<typeof checkBootServer>[0], root),
        });
        socket.setTimeout(CONNECT, () => socket.destroy(new Error('it does not answer')));
        socket.once('secureConnect', () => {
          socket.setTimeout(0);
          resolve(socket);
        });
        socket.once('error', (error) => reject(failure(url, error)));
      }),
  };
}

function addressIn(text: string): { host: string; port: number } {
  const url = URL.parse(text);
  if (url?.protocol === 'https:' && url.pathname === '/' && url.username === '' && url.search === '')
    return { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port === '' ? 443 : Number(url.port) };
  throw new BootwaveError({
    code: 'SERVER_URL',
    what: `'${text}' is not the address of a server`,
    unchanged: 'nothing was asked',
    next: 'write it as https://HOST:PORT',
  });
}

/** The one certificate of a file that is its own issuer. */
async function rootIn(file: string): Promise<X509Certificate> {
  const wrong = (what: string, cause?: unknown) =>
    new BootwaveError({
      code: 'SERVER_ROOT',
      what,
      unchanged: 'nothing was asked',
      next: "give --root FILE with the fleet's root certificate: ca/root.crt of its keys",
      cause,
    });
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw wrong(`${file} cannot be read: ${messageOf(cause)}`, cause);
  });
  const roots = (text.match(PEM) ?? [])
    .map((pem) => new X509Certificate(pem))
    .filter((one) => one.ca && one.checkIssued(one) && one.verify(one.publicKey));
  const [root] = roots;
  if (root !== undefined && roots.length === 1) return root;
  throw wrong(`${file} holds ${roots.length} root certificates`);
}

function failure(url: string, error: Error): BootwaveError {
  if (error instanceof BootwaveError) return error;
  const { code = '' } = error as NodeJS.ErrnoException;
  // Not one of the system's errors: OpenSSL refused the chain before we could check it.
  const foreign = code !== '' && !/^E[A-Z]+$/.test(code);
  return new BootwaveError({
    code: foreign ? 'SERVER_NOT_TRUSTED' : 'SERVER_UNREACHABLE',
    what: foreign
      ? `what answers at ${url} is no server of this fleet: ${error.message}`
      : `${url} cannot be reached: ${error.message}`,
    unchanged: 'nothing was asked',
    next: foreign
      ? 'find out what answers there; nothing was sent to it'
      : "is 'bootwave up --operators-port' running there, and may you reach its port?",
    cause: error,
  });
}
