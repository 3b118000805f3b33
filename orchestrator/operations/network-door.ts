/** The door for people elsewhere: the same lines, over mutual TLS. Their certificate shows who they are. */
import type { KeyObject, X509Certificate } from 'node:crypto';
import { createServer, type SecureContextOptions, type TLSSocket } from 'node:tls';
import { messageOf } from '../../base/error.ts';
import { openPort } from '../../base/open-port.ts';
import { generationsOf } from '../../keys/generations.ts';
import { operatorRefusal } from '../../keys/operator.ts';
import { ofCertificate } from '../operators/identify.ts';
import { serve } from './door.ts';
import type { House } from './operation.ts';

/** Connections at a time, of everybody. */
const MOST = 256;
/** The same of one host, whoever is behind it. */
const MOST_OF_HOST = 128;
/** The same of one person: nobody shuts the door to the others. */
export const MOST_OF_ONE = 16;
/** Milliseconds. */
const TIMES = { handshake: 10_000, idle: 60_000 } as const;

type Shown = { key: KeyObject; chainPem: string };

export type NetworkDoor = {
  port: number;
  identity: { current(): Shown; onChange(show: (shown: Shown) => void): void };
  /** PEM of the fleet's root certificate. */
  rootPem: string;
};

/**
 * Opens it on all addresses of this machine.
 * @returns `port` as bound; `done` resolves after the signal fired and all is closed
 * @throws BootwaveError `OPERATORS_PORT`
 */
export async function openNetworkDoor(
  house: House,
  { port, identity, rootPem }: NetworkDoor,
): Promise<{ port: number; done: Promise<void> }> {
  const { paths, signal, log } = house;
  const context = ({ key, chainPem }: Shown): SecureContextOptions => ({
    key: key.export({ type: 'pkcs8', format: 'pem' }),
    cert: chainPem,
    // Everybody with a certificate below the fleet's root may connect; each request decides whether it is an
    // operator's.
    ca: rootPem,
    minVersion: 'TLSv1.3',
  });
  const sockets = new Map<TLSSocket, string | null>();
  const server = createServer({
    ...context(identity.current()),
    requestCert: true,
    rejectUnauthorized: true,
    handshakeTimeout: TIMES.handshake,
  });
  server.maxConnections = MOST;
  server.on('tlsClientError', (error) =>
    log.debug({ reason: messageOf(error) }, 'operators door: handshake'),
  );
  server.on('secureConnection', (socket: TLSSocket) => {
    const certificate = socket.getPeerX509Certificate();
    const whose = certificate?.subject ?? null;
    sockets.set(socket, whose);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    if ([...sockets.values()].filter((one) => one === whose).length > MOST_OF_ONE) {
      log.warn(
        { code: 'OPERATORS_CONNECTIONS', whose, most: MOST_OF_ONE },
        'one person has too many connections',
      );
      socket.destroy();
      return;
    }
    isOperators(house, certificate).then(
      (known) => {
        // A node or a server of this fleet: it may not ask anything here and gets no answer.
        if (!known) socket.destroy();
        else
          serve(socket, house, {
            identify: async () => ofCertificate(paths, mustShow(certificate), house.now()),
            remote: true,
            idle: TIMES.idle,
          });
      },
      (error: unknown) => {
        log.error({ reason: messageOf(error) }, 'nobody knows who is an operator');
        socket.destroy();
      },
    );
  });
  identity.onChange((shown) => server.setSecureContext(context(shown)));
  return openPort(server, {
    port,
    signal,
    mostOfOne: MOST_OF_HOST,
    hangUp() {
      for (const socket of sockets.keys()) socket.destroy();
    },
    fault: { code: 'OPERATORS_PORT', use: 'for operators', option: '--operators-port' },
  });
}

/**
 * Whether an operators CA of this fleet issued it; each request checks that it is not expired or revoked, and reports
 * it.
 */
async function isOperators({ paths }: House, certificate: X509Certificate | undefined): Promise<boolean> {
  if (certificate === undefined) return false;
  const cas = await generationsOf(paths.keys, 'operators');
  return cas.some(({ certificate: ca }) => certificate.checkIssued(ca) && certificate.verify(ca.publicKey));
}

function mustShow(certificate: X509Certificate | undefined): X509Certificate {
  if (certificate !== undefined) return certificate;
  throw operatorRefusal('OPERATOR_MISSING', 'no certificate was shown');
}
