/** `serve-device.ts INTERFACE FOLDER`: serves TFTP on one interface with the real sockets; prints that it is ready. */
import { createLogger } from '../../../base/log.ts';
import { openSockets } from '../../../bootserver/sockets.ts';
import { startTftp } from '../../../bootserver/tftp/server.ts';

const [device = '', folder = ''] = process.argv.slice(2);
const sockets = await openSockets({ interface: device, httpPort: 80, httpsPort: 443 });
startTftp({
  socket: sockets.tftp,
  openTransfer: sockets.transferSocket,
  segmenting: true,
  mtu: sockets.mtu,
  folder,
  log: createLogger('tftp-device', 'silent'),
});
// The test that started it has gone, however it ended.
process.stdin.on('end', () => process.exit(1)).resume();
console.log(JSON.stringify({ ready: sockets.address }));
