/**
 * Answers every DHCP message on its wire with one good OFFER in the name of 10.91.0.7 and some damaged packets, and
 * prints what it heard. Run in a namespace; its argument is the interface.
 */

import { readRequest } from '../../../bootserver/dhcp/request.ts';
import { openSockets } from '../../../bootserver/sockets.ts';
import { parsePacket } from '../../../formats/dhcp/packet.ts';

const { dhcp } = await openSockets({ interface: process.argv[2]!, httpPort: 80, httpsPort: 443 });
dhcp.on('message', (question) => {
  const say = (bytes: Uint8Array) => dhcp.send(bytes, 68, '255.255.255.255');
  const answer = Buffer.concat([question.subarray(0, 240), Buffer.from([53, 1, 2])]);
  answer[0] = 2;
  answer.set([10, 91, 0, 99], 16);
  say(Buffer.concat([answer, Buffer.from([54, 4, 10, 91, 0, 7, 255])]));
  say(Buffer.from('hello'));
  // Options whose length points behind the end, and a hardware address of an impossible length.
  say(Buffer.concat([answer, Buffer.from([54, 255, 1, 2])]));
  const odd = Buffer.from(answer);
  odd[2] = 200;
  say(odd);
  console.log(`heard ${readRequest(parsePacket(question))?.type}`);
});
console.log('listening');
