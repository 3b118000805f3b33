/** Our boot server asked as machines ask it. TFTP by the npm package `tftp`, which shares no code with our server. */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { request } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { connect } from 'node:tls';
import { messageOf } from '../../base/error.ts';
import { within } from '../../base/wait.ts';
import { imageUrl, LOADERS } from '../../bootserver/boot/urls.ts';
import type { PublishedImage } from '../../bootserver/http/image-store.ts';
import { SERVER_NAME } from '../../protocol/enrolment/messages.ts';
import { type Check, fail, ok, warn } from './check.ts';
import { inventedMac } from './dhcp-client.ts';

type TftpClient = { createGetStream(file: string): Readable };
type TftpPackage = {
  createClient(options: { host: string; port?: number; retries?: number; timeout?: number }): TftpClient;
};
const { createClient } = createRequire(import.meta.url)('tftp') as TftpPackage;

/** Milliseconds for one of the checks. */
const PATIENCE = 20_000;
const DAY = 24 * 3600_000;
const LOOK_AT_LOG = `read the log of 'bootwave up'`;

/** The UEFI boot loader by TFTP, byte by byte. */
export async function checkTftp(address: string, loaders: string, port = 69): Promise<Check> {
  const name = LOADERS.uefi;
  const wanted = await readFile(join(loaders, name)).catch(() => undefined);
  if (wanted === undefined)
    return warn('TFTP', 'not asked: there is no boot loader to ask for', `see 'boot loaders'`);
  try {
    const got = await within(fetchTftp(address, port, name), PATIENCE, 'no whole file');
    return got.equals(wanted)
      ? ok('TFTP', `${name} came whole from ${address}, ${got.length} bytes`)
      : fail('TFTP', `${name} came from ${address} with other bytes than on the disk`, LOOK_AT_LOG);
  } catch (error) {
    return fail('TFTP', `${name} did not come from ${address}: ${messageOf(error)}`, LOOK_AT_LOG);
  }
}

async function fetchTftp(host: string, port: number, name: string): Promise<Buffer> {
  // The package counts its timeout in milliseconds but sends the same number to the server, which wants seconds (RFC
  // 2349: 1 to 255) and ignores an invalid value.
  const stream = createClient({ host, port, retries: 5, timeout: 3000 }).createGetStream(name);
  const parts: Buffer[] = [];
  return new Promise((resolve, reject) => {
    stream
      .on('data', (part: Buffer) => parts.push(part))
      .on('error', reject)
      .on('end', () => resolve(Buffer.concat(parts)));
  });
}

/** HEAD of the newest image, as UEFI HTTP Boot asks before it begins. */
export async function checkHttp(
  base: { serverIp: string; httpPort: number },
  image: Pick<PublishedImage, 'version' | 'size' | 'sha256'> | undefined,
  name = 'HTTP',
): Promise<Check> {
  if (image === undefined) return warn(name, 'not asked: there is no image to ask for', `see 'image'`);
  const url = imageUrl(base, inventedMac(), image.version);
  try {
    const { status, size, etag } = await within(head(url), PATIENCE);
    if (status !== 200) return fail(name, `${url} is answered with status ${status}`, LOOK_AT_LOG);
    if (size !== image.size || !etag.includes(image.sha256)) {
      const next = `does 'bootwave up' run with the same data directory as this command?`;
      return fail(name, `${url} is another file than the newest image on this disk`, next);
    }
    return ok(name, `the newest image (${image.version}) is served on port ${base.httpPort}`);
  } catch (error) {
    return fail(name, `${url} cannot be had: ${messageOf(error)}`, LOOK_AT_LOG);
  }
}

function head(url: string): Promise<{ status: number; size: number; etag: string }> {
  return new Promise((resolve, reject) => {
    request(url, { method: 'HEAD', agent: false }, (response) => {
      response.resume();
      const { headers, statusCode = 0 } = response;
      resolve({ status: statusCode, size: Number(headers['content-length']), etag: headers.etag ?? '' });
    })
      .on('error', reject)
      .end();
  });
}

/** TLS as nodes demand it: a chain to this fleet's root, and the fixed name. */
export async function checkTls(address: string, port: number, root: string | undefined): Promise<Check> {
  if (root === undefined)
    return warn('TLS', `not asked: this fleet's root certificate is missing`, `see 'key files'`);
  try {
    const certificate = await within(serverCertificate(address, port, root), PATIENCE);
    const days = Math.floor((new Date(certificate.validTo).getTime() - Date.now()) / DAY);
    return days < 14
      ? warn(
          'TLS',
          `the certificate of the boot server ends in ${days} days`,
          `restart 'bootwave up': each start makes a new one`,
        )
      : ok('TLS', `nodes can trust port ${port}, for ${days} more days`);
  } catch (error) {
    const next = `does 'bootwave up' run with the keys of this data directory? If so, ${LOOK_AT_LOG}`;
    return fail('TLS', `nodes would not trust ${address}:${port}: ${messageOf(error)}`, next);
  }
}

function serverCertificate(host: string, port: number, root: string): Promise<X509Certificate> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, ca: root, servername: SERVER_NAME, minVersion: 'TLSv1.3' }, () => {
      resolve(new X509Certificate(socket.getPeerCertificate().raw));
      socket.destroy();
    });
    socket.on('error', reject);
  });
}
