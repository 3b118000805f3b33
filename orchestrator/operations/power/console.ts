import { BootwaveError, whyText } from '../../../base/error.ts';
import type { NodeRecord } from '../../fleet/record.ts';
import { Book } from '../../power/book.ts';
import { reach } from '../../power/reach.ts';
import { hostKeyText } from '../../power/redfish-serial.ts';
import { alone, sit, TIMES } from '../../power/session.ts';
import { note } from '../../power/switch.ts';
import { beginTranscript } from '../../power/transcript.ts';
import type { Acting } from '../operation.ts';

type Asked = { node: string; take: boolean };
/** `transcript`: its file in the folder of the server; `sha256`: of that file, which the history has, too. */
export type Sat = {
  node: string;
  why: string;
  /** Milliseconds. */
  took: number;
  /** Bytes. */
  typed: number;
  transcript: string;
  sha256: string;
};

/** @throws BootwaveError `BMC_*`, `CONSOLE_TAKEN`, `CONSOLE_DOOR` */
export async function console({ node, take }: Asked, acting: Acting): Promise<Sat> {
  const { fleet, by, carrying } = acting;
  const record = await fleet.nodes.resolve(node);
  if (carrying === undefined)
    throw new BootwaveError({
      code: 'CONSOLE_DOOR',
      what: 'a console is opened over the connection of the person who sits at it',
      unchanged: 'nothing was sent to the BMC',
      next: `bootwave node console ${record.name}`,
    });
  return alone(record, { actor: by.actor, at: by.at, take }, (taken) =>
    recorded(record, { take, carrying, taken }, acting),
  );
}

async function recorded(
  record: NodeRecord,
  { take, carrying, taken }: { take: boolean; carrying: NonNullable<Acting['carrying']>; taken: AbortSignal },
  acting: Acting,
): Promise<Sat> {
  const { fleet, paths, by, signal } = acting;
  const { name } = record;
  const title = `console of ${name}, for ${by.actor} from ${carrying.from}`;
  const transcript = await beginTranscript(paths.consoles, { title, at: by.at });
  // Written before anything is sent: whoever is ended in the middle leaves the name of the transcript behind.
  await note(acting, record, `opened from ${carrying.from}; ${transcript.name}`, 'console');
  const until = AbortSignal.any([signal, taken]);
  let [why, typed, failure]: [string, number, unknown] = ['', 0, undefined];
  try {
    const { line, entry } = await reach(paths, record, signal, async ({ bmc, entry }) => ({
      line: await bmc.console(until, take),
      entry,
    }));
    try {
      if (line.hostKey !== undefined && entry.hostKey === undefined) {
        await new Book(paths).keepHostKey(record.site, entry, line.hostKey);
        const what = `its SSH host key ${hostKeyText(line.hostKey)} was seen first, and must be shown from now on`;
        await note(acting, record, what, 'console');
      }
      const person = carrying.begin({ node: name, transcript: transcript.name });
      const { still } = carrying;
      ({ why, typed } = await sit({ line, person, transcript, still, signal: until, times: TIMES }));
    } finally {
      await line.close();
    }
  } catch (error) {
    failure = error;
    why = whyText(error);
  }
  const sha256 = await transcript.end();
  const at = Date.now();
  const last = `over: ${why}; ${typed} bytes typed; ${transcript.name} has SHA-256 ${sha256}`;
  await note({ fleet, by: { ...by, at } }, record, last, 'console');
  if (failure !== undefined) throw failure;
  return { node: name, why, took: at - by.at, typed, transcript: transcript.name, sha256 };
}
