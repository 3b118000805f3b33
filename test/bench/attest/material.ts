/** Keys and quotes of a software TPM, made before anything is measured: making them costs a hundred times what checking does. */
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SECRET_BYTES } from '../../../formats/tpm/credential.ts';
import { extraData } from '../../../protocol/enrolment/extra-data.ts';
import type { KeysRequest, ProofRequest } from '../../../protocol/enrolment/messages.ts';
import { HonestNode, makeKey } from '../../bootserver/enroll/support/node.ts';
import { SoftwareTpm } from '../../bootserver/enroll/support/swtpm.ts';

/** All of one enrolment: what the server will draw, and what the node answers to it. */
export type Prepared = {
  nonce: Buffer;
  secret: Buffer;
  csr: Buffer;
  keys: Omit<KeysRequest, 'session'>;
  proof: Omit<ProofRequest, 'session'>;
  /** TPMS_ATTEST's extraData. */
  extra: Buffer;
};

export async function prepare(
  count: number,
): Promise<{ folder: string; all: Prepared[]; remove(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-bench-attest-'));
  const software = new SoftwareTpm(join(folder, 'tpm'));
  try {
    await mkdir(join(folder, 'tpm'));
    await software.start();
    const node = await HonestNode.withTpm(join(folder, 'tpm'), software);
    const all: Prepared[] = [];
    for (let i = 0; i < count; i += 1) {
      const { csr } = makeKey();
      const [nonce, secret] = [randomBytes(32), randomBytes(SECRET_BYTES)];
      const extra = extraData(nonce, csr, node.hostKey);
      const { session: _, ...keys } = node.keysRequest('');
      const quote = await node.work!.quote(extra);
      all.push({
        ...{ nonce, secret, csr, extra },
        keys: { ...keys, csr: csr.toString('base64') },
        proof: { secret: secret.toString('hex'), quote, signature: null },
      });
    }
    return { folder, all, remove: () => rm(folder, { recursive: true, force: true }) };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  } finally {
    await software.stop();
  }
}

/** Of several rounds, each of at least `least` milliseconds of CPU: how many a second of one core. */
export function perCore(rounds: number, least: number, work: () => number): number {
  const rates: number[] = [];
  for (let i = 0; i < rounds; i += 1) {
    const before = process.cpuUsage();
    let [done, spent] = [0, 0];
    while (spent < least) {
      done += work();
      const { user, system } = process.cpuUsage(before);
      spent = (user + system) / 1000;
    }
    rates.push((done * 1000) / spent);
  }
  return rates.toSorted((a, b) => a - b)[Math.floor(rounds / 2)]!;
}
