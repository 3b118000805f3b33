/** The serial console of a lab's Redfish BMC: SSH on a port of its own, for one person at a time. */
import { createPrivateKey, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import ssh2, { type Connection } from 'ssh2';
import { sha256 } from '../../formats/digest.ts';

export type SshConsoleOptions = {
  host: string;
  port: number;
  /** Its host key: an EC key, PEM. */
  key: Buffer;
  user: string;
  password: string;
  /** TCP port of 127.0.0.1 with the machine's serial port. */
  serial: number;
};

export type SshConsole = { port: number; close(): void };

/** @returns once it listens */
export async function serveSshConsole(options: SshConsoleOptions): Promise<SshConsole> {
  // ssh2 reads no PKCS#8.
  const hostKey = createPrivateKey(options.key).export({ type: 'sec1', format: 'pem' });
  const open = new Set<Connection>();
  let taken = false;
  const server = new ssh2.Server({ hostKeys: [hostKey] }, (connection) => {
    open.add(connection);
    connection.on('error', () => {}).on('close', () => open.delete(connection));
    connection.on('authentication', (context) => {
      if (
        context.method === 'password' &&
        isIt(context.username, options.user) &&
        isIt(context.password, options.password)
      )
        context.accept();
      else context.reject(['password']);
    });
    connection.on('session', (accept) => {
      const session = accept();
      session.on('pty', (acceptPty) => acceptPty?.());
      session.on('shell', (acceptShell, reject) => {
        if (taken) return reject?.();
        taken = true;
        const stream = acceptShell();
        const serial = connect(options.serial, '127.0.0.1');
        const end = () => {
          taken = false;
          serial.destroy();
          connection.end();
        };
        serial.on('error', () => {}).once('close', end);
        stream.on('error', () => {}).once('close', end);
        stream.pipe(serial).pipe(stream);
      });
    });
  });
  server.listen(options.port, options.host);
  await once(server, 'listening');
  const close = () => {
    for (const connection of open) connection.end();
    server.close();
  };
  return { port: (server.address() as { port: number }).port, close };
}

const isIt = (given: string, wanted: string): boolean =>
  timingSafeEqual(sha256(Buffer.from(given)), sha256(Buffer.from(wanted)));
