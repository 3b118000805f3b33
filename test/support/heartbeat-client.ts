/** Sends one heartbeat with the certificate it is given and prints what came back; run inside a lab's network. */
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { PATHS, SERVER_NAME } from '../../protocol/enrolment/messages.ts';

const [url = '', keyFile = '', certificateFile = '', rootFile = ''] = process.argv.slice(2);
const body = JSON.stringify({
  running: { version: '1', kernel: '6', bootId: 'b' },
  uptime: 1,
  healthy: true,
  reason: '',
});
const sent = request(
  `${url}${PATHS.heartbeat}`,
  {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
    key: readFileSync(keyFile),
    cert: readFileSync(certificateFile),
    ca: readFileSync(rootFile),
    servername: SERVER_NAME,
  },
  (response) => {
    let text = '';
    response.setEncoding('utf8').on('data', (more: string) => {
      text += more;
    });
    response.on('end', () =>
      console.log(JSON.stringify({ status: response.statusCode, body: JSON.parse(text) })),
    );
  },
);
sent.on('error', (error) => console.log(JSON.stringify({ error: error.message })));
sent.end(body);
