import { digestOf, makeDocument } from '../../../protocol/configuration/document.ts';
import { contentOf, listConfigs, publishConfig, readConfig } from '../../config/store.ts';
import { Consents, recordConsent } from '../../signer/consents.ts';
import { signerFiles } from '../../signer/files.ts';
import type { Acting } from '../operation.ts';

export async function publish(
  { text, version }: { text: string; version: string },
  { fleet, by, paths }: Acting,
) {
  const { consents } = signerFiles(paths);
  const { configs } = await new Consents(consents).current();
  const known = [...configs].flatMap(([digest, of]) => (of === version ? [digest] : []));
  const published = await publishConfig(fleet.redis, text, version, by, known);
  // SHA-256 of the document that was handed in: a database's answer proves nothing.
  const sha256 = digestOf(makeDocument(JSON.parse(text), version));
  await recordConsent(consents, { say: 'config', sha256, version }, by);
  return published;
}

export const list = (_: object, { fleet }: Acting) => listConfigs(fleet.redis);

export async function show({ version }: { version: string }, { fleet }: Acting) {
  const one = await readConfig(fleet.redis, version);
  return { ...one, document: contentOf(one) };
}
