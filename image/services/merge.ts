/** A manifest: what its author wrote, over what the config of the image says. Pure. */

import { isMap, isScalar, parseDocument } from 'yaml';
import { en } from 'zod/locales';
import { messageOf } from '../../base/error.ts';
import { isObject } from '../../base/json.ts';
import { type Manifest, manifestSchema } from '../../protocol/service/manifest.ts';
import { architectureOf, type ImageConfig } from './documents.ts';
import { refused } from './failure.ts';

/** Bytes of it as people write it, and as it stands in the release metadata, whose size is limited for all. */
const MANIFEST_BYTES = { written: 64 * 1024, released: 16 * 1024 } as const;

export type Written = Readonly<Record<string, unknown>>;

/** @param text YAML 1.2, of which JSON is a part @throws BootwaveError `SERVICE_MANIFEST` */
export function readWritten(text: string): Written {
  if (Buffer.byteLength(text) > MANIFEST_BYTES.written)
    throw refused('SERVICE_MANIFEST', `the manifest has more than ${MANIFEST_BYTES.written} bytes`);
  const document = parseDocument(text, { prettyErrors: true });
  const [first] = [...document.errors, ...document.warnings];
  if (first !== undefined)
    throw refused('SERVICE_MANIFEST', `the manifest is no YAML and no JSON: ${first.message.split('\n')[0]}`);
  if (isScalar(document.contents) && document.contents.value === null) return {};
  if (document.contents === null) return {};
  if (!isMap(document.contents))
    throw refused('SERVICE_MANIFEST', 'the manifest has no fields: write for example limits:');
  try {
    return document.toJS({ maxAliasCount: 100 }) as Written;
  } catch (cause) {
    throw refused('SERVICE_MANIFEST', `the manifest cannot be used: ${messageOf(cause)}`, cause);
  }
}

/** What an image's config says, in the words of a manifest. The user of an image may be a name, so it is left out. */
export function ofImage({ config, architecture }: ImageConfig): Written {
  const { Entrypoint, Cmd, Env, WorkingDir, ExposedPorts, StopSignal } = config ?? {};
  const command = [...(Entrypoint ?? []), ...(Cmd ?? [])];
  const ports = Object.keys(ExposedPorts ?? {})
    .map(portOf)
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return {
    ...(command.length > 0 && { command }),
    ...(Env && { env: Object.fromEntries(Env.map(variableOf)) }),
    ...(WorkingDir && { workdir: WorkingDir === '/' ? '/' : WorkingDir.replace(/\/+$/, '') }),
    ...(ports.length > 0 && { ports }),
    ...(StopSignal && { stop: { signal: SIGNALS[StopSignal] ?? StopSignal } }),
    architecture: architectureOf({ architecture }),
  };
}

/** As some write them. */
const SIGNALS: Readonly<Record<string, string>> = {
  ...{ 1: 'SIGHUP', 2: 'SIGINT', 3: 'SIGQUIT', 15: 'SIGTERM' },
  ...{ HUP: 'SIGHUP', INT: 'SIGINT', QUIT: 'SIGQUIT', TERM: 'SIGTERM' },
};

/** `80`, `80/tcp`: what is neither is left to the schema, which names it. */
function portOf(text: string): { name: string; protocol: string; port: number } {
  const [number = '', protocol = 'tcp'] = text.split('/');
  return {
    name: `${protocol}-${number}`,
    protocol,
    port: /^\d+$/.test(number) ? Number(number) : Number.NaN,
  };
}

function variableOf(text: string): [string, string] {
  const at = text.indexOf('=');
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

/**
 * What is written counts; the variables and what is said of stopping are taken together, every other field whole.
 * @throws BootwaveError `SERVICE_MANIFEST` that names every field that is wrong
 */
export function merge(written: Written, image: Written, user: { uid: number; gid: number } | null): Manifest {
  const both = (field: string): Written => {
    const [below, above] = [image[field], written[field]];
    // What is no map is left to the schema.
    if (!isObject(below)) return above === undefined ? {} : { [field]: above };
    return { [field]: above === undefined ? below : isObject(above) ? { ...below, ...above } : above };
  };
  const whole = {
    ...(user !== null && { user }),
    ...image,
    ...written,
    ...both('env'),
    ...both('stop'),
  };
  const read = manifestSchema.safeParse(whole, { error: en().localeError });
  if (!read.success) {
    const reasons = read.error.issues.map(({ path, message, ...issue }) => {
      const field = path.join('.');
      if (issue.code === 'unrecognized_keys')
        return `${[field, issue.keys[0]].filter(Boolean).join('.')}: there is no such field`;
      const from =
        path[0] !== undefined &&
        written[String(path[0])] === undefined &&
        image[String(path[0])] !== undefined;
      return `${field}: ${message}${from ? ' (the image says so; write another in the manifest)' : ''}`;
    });
    if (written.command === undefined && image.command === undefined)
      reasons.unshift('command: neither the manifest nor the image says what is run');
    throw refused(
      'SERVICE_MANIFEST',
      `the manifest is refused: ${[...new Set(reasons)].slice(0, 8).join('; ')}`,
    );
  }
  const bytes = Buffer.byteLength(JSON.stringify(read.data));
  if (bytes > MANIFEST_BYTES.released)
    throw refused(
      'SERVICE_MANIFEST',
      `the manifest has ${bytes} bytes with what the image says; ${MANIFEST_BYTES.released} at most can be`,
    );
  return read.data;
}
