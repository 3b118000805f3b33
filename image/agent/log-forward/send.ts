/** One connection to the log server; messages are sent over it until it breaks. */
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import type { LogTarget } from '../../../protocol/configuration/log-target.ts';
import { framed } from './syslog.ts';

export type Way = {
  /** This machine's own address on it. */
  readonly host: string;
  /** Resolves when the message has left this process. @throws when the connection is broken */
  send(message: Buffer): Promise<void>;
  close(): void;
};

/** Milliseconds. */
const PATIENCE = 30_000;

export function openWay(target: LogTarget): Promise<Way> {
  return target.protocol === 'tcp' ? overTcp(target) : overUdp(target);
}

function overTcp({ host, port }: LogTarget): Promise<Way> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, keepAlive: true, timeout: PATIENCE });
    let broken: Error | null = null;
    const breaks = (error: Error) => {
      broken ??= error;
      socket.destroy();
      reject(error);
    };
    socket.on('error', breaks);
    socket.on('timeout', () => {
      if (socket.connecting || socket.writableLength > 0) breaks(new Error('the log server does not answer'));
    });
    socket.on('close', () => breaks(new Error('the log server closed the connection')));
    // The server should send nothing; if it does, that must not fill a buffer.
    socket.resume();
    socket.once('connect', () =>
      resolve({
        host: socket.localAddress ?? '-',
        send: (message) =>
          new Promise((sent, failed) => {
            if (broken !== null) return failed(broken);
            socket.write(framed(message), (error) => (error == null ? sent() : failed(error)));
          }),
        close: () => socket.destroy(),
      }),
    );
  });
}

function overUdp({ host, port }: LogTarget): Promise<Way> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    // Also a port that nobody listens on: the next message may find someone.
    socket.on('error', reject);
    socket.connect(port, host, (error?: Error) => {
      if (error != null) {
        socket.close();
        return reject(error);
      }
      resolve({
        host: socket.address().address,
        send: (message) =>
          new Promise((sent, failed) => {
            socket.send(message, (wrong) => (wrong == null ? sent() : failed(wrong)));
          }),
        close: () => socket.close(),
      });
    });
  });
}
