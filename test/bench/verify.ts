/** Quotes checked a second on one core (signature, nonce, selection, PCRs), against one run of tpm2_checkquote for each. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../base/run.ts';
import { NO_KEYS } from '../../bootserver/enroll/firmware-log.ts';
import { verifyEvidence } from '../../bootserver/enroll/proof.ts';
import { parseTpmPublic } from '../../formats/tpm/public.ts';
import { cpuOfChildren } from './attest/children.ts';
import { perCore, prepare } from './attest/material.ts';

const QUOTES = 24;
const { folder, all, remove } = await prepare(QUOTES);
try {
  const ak = parseTpmPublic(Buffer.from(all[0]!.keys.tpm!.ak, 'base64'), 'AK');
  const ours = perCore(9, 300, () => {
    for (const { proof, extra } of all) verifyEvidence(proof.quote!, { ak, extraData: extra }, NO_KEYS);
    return QUOTES;
  });

  const file = (name: string) => join(folder, name);
  await writeFile(file('ak.pem'), ak.key.export({ type: 'spki', format: 'pem' }));
  const before = cpuOfChildren();
  for (const [i, { proof, extra }] of all.entries()) {
    await writeFile(file(`${i}.msg`), Buffer.from(proof.quote!.attest, 'base64'));
    await writeFile(file(`${i}.sig`), Buffer.from(proof.quote!.signature, 'base64'));
    const { code, stderr } = await run('tpm2_checkquote', [
      ...['-u', file('ak.pem'), '-m', file(`${i}.msg`), '-s', file(`${i}.sig`)],
      ...['-q', extra.toString('hex'), '-g', 'sha256'],
    ]);
    if (code !== 0) throw new Error(stderr);
  }
  const peer = (QUOTES * 1000) / (cpuOfChildren() - before);
  console.log(
    `bench verify ${ours.toFixed(0)} quotes/s of one core vs tpm2_checkquote ${peer.toFixed(0)} ratio ${(ours / peer).toFixed(1)}`,
  );
} finally {
  await remove();
}
