import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { jsonIn } from '../../base/json.ts';
import { userCertificate } from '../../keys/ssh-certificate.ts';
import { sshKeyOf } from '../../keys/ssh-key.ts';
import {
  RESCUE_ACCOUNT,
  RESCUE_COMMAND,
  RESCUE_LIMITS,
  type RescueRequest,
  rescuePrincipal,
  shownSchema,
} from '../../protocol/agent/rescue.ts';
import { type Entry, type LinkTarget, openChannel } from './channel.ts';
import { readClientKey } from './client-key.ts';
import { linkFailure, NodeRefusal } from './errors.ts';
import { presentCertificate } from './present-certificate.ts';

/** Milliseconds: how long a certificate holds, around a clock that is a little off, and until the connection stands. */
const HOLDS = { before: 5 * 60_000, after: 5 * 60_000 } as const;
const TIMEOUT = 20_000;
/** Characters of an answer: base64 and what is around it. */
const MOST = RESCUE_LIMITS.bytes * 2;

const answerSchema = z.union([
  z.object({ ok: z.literal(true), result: shownSchema }),
  z.object({
    ok: z.literal(false),
    error: z.object({
      code: z.string().regex(/^[A-Z][A-Z0-9_]{1,63}$/),
      what: z.string().max(1024),
      unchanged: z.string().max(512).optional(),
      next: z.string().max(512).optional(),
    }),
  }),
]);

export type Looker = {
  authority: KeyObject;
  incident: number;
  /** Whoever looks: the node logs it. */
  who: string;
};

/**
 * One look at a node in rescue, over a connection of its own with a key and a certificate that are for nothing else.
 * @returns what the node shows; `more`: there is more, which is left out
 * @throws NodeRefusal when the node says no; BootwaveError `LINK_*`
 */
export async function askRescue(
  target: LinkTarget,
  looker: Looker,
  request: RescueRequest,
  signal: AbortSignal,
): Promise<{ bytes: Buffer; more: boolean }> {
  const channel = await openChannel(target, { entry: entryFor(target.id, looker), timeout: TIMEOUT, signal });
  const stop = () => channel.close();
  signal.addEventListener('abort', stop, { once: true });
  try {
    // Not ended: whoever answers would take that for the end of both ways.
    channel.stream.write(`${JSON.stringify(request)}\n`);
    let text = '';
    for await (const piece of channel.stream.setEncoding('utf8') as AsyncIterable<string>) {
      text += piece;
      if (text.length > MOST) throw linkFailure('LINK_PROTOCOL', `${target.id} shows more than it may`);
    }
    if (text === '') throw channel.reason();
    return shownIn(text);
  } finally {
    signal.removeEventListener('abort', stop);
    channel.close();
  }
}

/** @throws NodeRefusal, or BootwaveError `LINK_PROTOCOL`, whatever the text is */
export function shownIn(text: string): { bytes: Buffer; more: boolean } {
  const parsed = answerSchema.safeParse(jsonIn(text));
  if (!parsed.success) throw linkFailure('LINK_PROTOCOL', 'the answer of the node is malformed');
  if (!parsed.data.ok) {
    const { code, what, unchanged, next } = parsed.data.error;
    throw new NodeRefusal({ code, what, ...(unchanged && { unchanged }), ...(next && { next }) });
  }
  const { bytes, more } = parsed.data.result;
  return { bytes: Buffer.from(bytes, 'base64'), more };
}

function entryFor(node: string, { authority, incident, who }: Looker): Entry {
  const key = generateKeyPairSync('ed25519').privateKey;
  const now = Date.now();
  const certificate = userCertificate({
    ...{ key, authority, id: who, principal: rescuePrincipal(node, incident), command: RESCUE_COMMAND },
    ...{ after: now - HOLDS.before, until: now + HOLDS.after },
  });
  return {
    account: RESCUE_ACCOUNT,
    key: readClientKey(sshKeyOf(key, '').file),
    present: (client) => presentCertificate(client, key, certificate),
    open: (client, opened) => client.exec(RESCUE_COMMAND, opened),
  };
}
