/** Others that make the same certificate: same key, same extensions, same CA. */
import { spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { mustRun } from '../../../base/run.ts';
import { keyLayout } from '../../../keys/layout.ts';
import { freePort } from '../../support/free-port.ts';
import { cpuOfChildren, cpuOfProcess } from './children.ts';

const URI = 'spiffe://bootwave/node/bench';

/** Certificates a second of one core, one process each, as the tool is used. @param csrs DER */
export async function opensslCa(keys: string, folder: string, csrs: readonly Buffer[]): Promise<number> {
  const ca = keyLayout(keys).ca.nodes;
  const place = join(folder, 'openssl');
  await mkdir(place);
  const file = (name: string) => join(place, name);
  await writeFile(file('index'), '');
  await writeFile(file('serial'), '1000\n');
  const lines = [
    '[ca]\ndefault_ca = nodes',
    `[nodes]\ndatabase = ${file('index')}\nserial = ${file('serial')}\nnew_certs_dir = ${place}`,
    `certificate = ${ca.certificate}\nprivate_key = ${ca.key}\ndefault_md = sha256\ndefault_days = 7`,
    'policy = any\nx509_extensions = leaf\nunique_subject = no',
    '[any]\ncommonName = supplied',
    '[leaf]\nbasicConstraints = critical,CA:FALSE\nkeyUsage = critical,digitalSignature',
    `extendedKeyUsage = clientAuth\nsubjectAltName = URI:${URI}`,
    'subjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid',
  ];
  await writeFile(file('ca.conf'), lines.join('\n'));
  for (const [i, csr] of csrs.entries()) await writeFile(file(`${i}.csr`), pem(csr));
  const before = cpuOfChildren();
  for (const i of csrs.keys()) {
    const args = ['ca', '-batch', '-notext', '-config', file('ca.conf'), '-in', file(`${i}.csr`)];
    await mustRun('openssl', [...args, '-out', file(`${i}.crt`)]);
  }
  const spent = cpuOfChildren() - before;
  await readFile(file(`${csrs.length - 1}.crt`));
  return (csrs.length * 1000) / spent;
}

/** Certificates a second of one core by one server that goes on running. @param csrs DER */
export async function cfssl(keys: string, folder: string, csrs: readonly Buffer[]): Promise<number> {
  const ca = keyLayout(keys).ca.nodes;
  const config = join(folder, 'cfssl.json');
  const usages = ['digital signature', 'client auth'];
  await writeFile(config, JSON.stringify({ signing: { default: { usages, expiry: '168h' } } }));
  const port = await freePort();
  const args = ['serve', '-address', '127.0.0.1', '-port', String(port), '-loglevel', '5'];
  const files = ['-ca', ca.certificate, '-ca-key', ca.key, '-config', config];
  const server = spawn('cfssl', [...args, ...files], { stdio: 'ignore', cwd: folder });
  try {
    const sign = async (csr: Buffer) => {
      const body = JSON.stringify({ certificate_request: pem(csr), hosts: [URI] });
      const reply = await fetch(`http://127.0.0.1:${port}/api/v1/cfssl/sign`, { method: 'POST', body });
      const { success } = (await reply.json()) as { success: boolean };
      if (!success) throw new Error('cfssl signed nothing');
    };
    for (let i = 0; ; i += 1) {
      const up = await sign(csrs[0]!).then(
        () => true,
        (error: unknown) => i > 100 && Promise.reject(error),
      );
      if (up) break;
      await sleep(100);
    }
    const rounds = 20;
    const before = cpuOfProcess(server.pid!);
    for (let i = 0; i < rounds; i += 1) for (const csr of csrs) await sign(csr);
    return (rounds * csrs.length * 1000) / (cpuOfProcess(server.pid!) - before);
  } finally {
    server.kill();
  }
}

function pem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines.join('\n')}\n-----END CERTIFICATE REQUEST-----\n`;
}
