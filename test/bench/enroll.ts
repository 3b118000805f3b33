/** Attested enrolments a second on one core, from the first message to the certificate, against `openssl ca` for the certificate alone. */
// The fleet's records are left out on both sides: the directory here says yes. Goal: 500 a second.
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { mustRun } from '../../base/run.ts';
import { Certifier } from '../../bootserver/enroll/certifier.ts';
import { EnrolmentDialogue } from '../../bootserver/enroll/dialogue.ts';
import { NO_KEYS } from '../../bootserver/enroll/firmware-log.ts';
import { Sessions } from '../../bootserver/enroll/sessions.ts';
import { trustOf } from '../../bootserver/enroll/trust.ts';
import { loadAuthority } from '../../keys/authority.ts';
import { initKeys } from '../../keys/init.ts';
import { keyLayout } from '../../keys/layout.ts';
import { MemoryDirectory } from '../bootserver/enroll/support/directory.ts';
import { cpuOfChildren } from './attest/children.ts';
import { type Prepared, prepare } from './attest/material.ts';

const MACHINES = 24;
const ROUNDS = 9;
const { folder, all, remove } = await prepare(MACHINES);

/** Says yes and forgets. */
class Yes extends MemoryDirectory {
  override async enrol(): Promise<{ state: 'approved'; name: string }> {
    return { state: 'approved', name: 'node' };
  }
}

try {
  const keys = join(folder, 'keys');
  await initKeys(keys);
  const authority = await loadAuthority(keys, 'nodes');
  const directory = new Yes();
  let drawn: Prepared = all[0]!;
  // Beside its id a session draws a nonce, then a secret.
  const random = (bytes: number) => {
    if (bytes === 16) return randomBytes(16);
    random.next += 1;
    return random.next % 2 === 1 ? drawn.nonce : drawn.secret;
  };
  random.next = 0;
  const dialogue = new EnrolmentDialogue({
    sessions: new Sessions({ now: Date.now, random }),
    directory,
    certifier: new Certifier(trustOf(authority), directory, Date.now),
    tpmRoots: async () => [],
    secureBootKeys: async () => NO_KEYS,
    fleetRoot: Buffer.alloc(32),
    now: Date.now,
    heartbeatSeconds: 30,
    hold: { most: 0, look: 1 },
    signal: new AbortController().signal,
  });

  const enrolAll = async () => {
    for (const machine of all) {
      drawn = machine;
      const { session } = dialogue.start('10.0.0.1');
      dialogue.keys({ session, ...machine.keys });
      const reply = await dialogue.proof({ session, ...machine.proof }, '10.0.0.1');
      if (reply.state !== 'approved') throw new Error(reply.state);
    }
  };
  const rates: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const before = process.cpuUsage();
    for (let i = 0; i < 10; i += 1) await enrolAll();
    const { user, system } = process.cpuUsage(before);
    rates.push((10 * MACHINES * 1e6) / (user + system));
  }
  const ours = rates.toSorted((a, b) => a - b)[Math.floor(ROUNDS / 2)]!;
  const peer = await opensslCa(keys);
  console.log(
    `bench enroll ${ours.toFixed(0)} enrolments/s of one core vs openssl ca ${peer.toFixed(0)} ratio ${(ours / peer).toFixed(1)}`,
  );
} finally {
  await remove();
}

/** Certificates a second of one core, one process each, as the tool is used: same key, same extensions. */
async function opensslCa(keys: string): Promise<number> {
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
    'extendedKeyUsage = clientAuth\nsubjectAltName = URI:spiffe://bootwave/node/bench',
    'subjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid',
  ];
  await writeFile(file('ca.conf'), lines.join('\n'));
  for (const [i, { csr }] of all.entries()) {
    await writeFile(file(`${i}.csr`), pem(csr));
  }
  const before = cpuOfChildren();
  for (const i of all.keys()) {
    const args = ['ca', '-batch', '-notext', '-config', file('ca.conf'), '-in', file(`${i}.csr`)];
    await mustRun('openssl', [...args, '-out', file(`${i}.crt`)]);
  }
  const spent = cpuOfChildren() - before;
  await readFile(file(`${MACHINES - 1}.crt`));
  return (MACHINES * 1000) / spent;
}

function pem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines.join('\n')}\n-----END CERTIFICATE REQUEST-----\n`;
}
