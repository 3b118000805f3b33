/** Attested enrolments a second on one core, from the first message to the certificate, against `openssl ca` and `cfssl serve` for the certificate alone. */
// The fleet's records are left out on both sides: the directory here says yes. Goal: 500 a second.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Certifier } from '../../bootserver/enroll/certifier.ts';
import { EnrolmentDialogue } from '../../bootserver/enroll/dialogue.ts';
import { NO_KEYS } from '../../bootserver/enroll/firmware-log.ts';
import { Sessions } from '../../bootserver/enroll/sessions.ts';
import { trustOf } from '../../bootserver/enroll/trust.ts';
import { loadAuthority } from '../../keys/authority.ts';
import { initKeys } from '../../keys/init.ts';
import { MemoryDirectory } from '../bootserver/enroll/support/directory.ts';
import { cfssl, opensslCa } from './attest/certificate-peers.ts';
import { type Prepared, prepare } from './attest/material.ts';
import { installPeers } from './install-peers.ts';

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
      await dialogue.keys({ session, ...machine.keys });
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
  const csrs = all.map(({ csr }) => csr);
  const tell = (peer: string, rate: number) =>
    console.log(
      `bench enroll ${ours.toFixed(0)} enrolments/s of one core vs ${peer} ${rate.toFixed(0)} ratio ${(ours / rate).toFixed(2)}`,
    );
  tell('openssl ca', await opensslCa(keys, folder, csrs));
  const none = await installPeers({ cfssl: 'golang-cfssl' });
  if (none === null) tell('cfssl serve (the certificate alone)', await cfssl(keys, folder, csrs));
  else console.log(`no comparison with cfssl: ${none}`);
} finally {
  await remove();
}
