/** `serve-child.ts FOLDER`: serves on a port that it prints, until it is killed. Its log is on standard error. */
import { createSocket } from 'node:dgram';
import { createLogger } from '../../../base/log.ts';
import { startTftp } from '../../../bootserver/tftp/server.ts';
import { bind } from './fixture.ts';

const socket = createSocket('udp4');
socket.bind(0, '127.0.0.1', () => {
  startTftp({
    socket,
    openTransfer: () => bind('127.0.0.1'),
    folder: process.argv[2] ?? '',
    log: createLogger('tftp-child', 'warn'),
    limits: { transfers: 1000, transfersOfOne: 1000, unheardOfOne: 1000 },
  });
  console.log(socket.address().port);
});
