/** A command of an owner in an instance of their slice: granted by the signer, run by root on the node, its bytes carried here. */
import { refusal } from '../../../base/error.ts';
import { shownName } from '../../../protocol/service/name.ts';
import { note } from '../../power/switch.ts';
import { SignerClient } from '../../signer/client.ts';
import { signerFiles } from '../../signer/files.ts';
import { grantFor } from '../../signer/grant-for.ts';
import { nodesOfSlice } from '../../slices/nodes.ts';
import { openSlice } from '../../slices/store.ts';
import { linksOf } from '../linked.ts';
import type { Acting } from '../operation.ts';
import { serviceOfSlice } from '../slice/named.ts';
import { carry, TIMES } from './carry.ts';

type Asked = { name: string; node: string; service?: string | undefined; command: string[] };
export type Ran = {
  /** Names, as people write them. */
  node: string;
  service: string;
  /** 128 and the signal where one ended it; null: its connection was over first. */
  exit: number | null;
  /** Why it was ended; empty: it ended by itself. */
  why: string;
  /** Milliseconds. */
  took: number;
};

/**
 * @throws BootwaveError `EXEC_*`, `SLICE_*`, `SIGNER_GRANT_*`, `GRANT_*`, `LINK_*`, `NODE_NOT_LINKED`, `OPERATION_CERTIFICATE`
 */
export async function exec({ name, node: word, service, command }: Asked, acting: Acting): Promise<Ran> {
  const { fleet, paths, by, carrying, signal } = acting;
  if (carrying === undefined)
    throw refusal(
      'EXEC_DOOR',
      'a command is run over the connection of the person who asks for it',
      `bootwave slice exec ${name} --node NODE -- COMMAND`,
    );
  const slice = await openSlice(fleet, name, by.at);
  const node = (await nodesOfSlice(fleet, slice, word))[0]!;
  const instance = service === undefined ? onlyOne(slice) : serviceOfSlice(service, name);
  const signed = acting.signature({ name, node: node.id, instance, command });
  const pool = linksOf(acting);
  const signer = new SignerClient(signerFiles(paths).socket);
  const grant = await grantFor(fleet.redis, signer, signed, node).finally(() => signer.close());
  const shown = shownName(instance);
  // Before it runs, as it was signed, and whole: an entry holds 1000 characters, and what is left out could be what it does.
  const words = JSON.stringify(command).match(/.{1,400}/gsu) ?? [];
  for (const [i, part] of words.entries())
    await note(
      acting,
      node,
      `${shown} from ${carrying.from}${words.length > 1 ? `, part ${i + 1} of ${words.length}` : ''}: ${part}`,
      'exec',
    );
  const still = async () => {
    await carrying.still();
    const now = await openSlice(fleet, name, Date.now());
    await nodesOfSlice(fleet, now, node.id);
  };
  const done = await carry({
    ...{ grant, slice: name, still, signal, times: TIMES },
    begin: () => carrying.begin({ node: node.name, service: shown }),
    ask: async (op, args, options) => (await pool.request(node.id, op, args, options)).result,
  });
  const at = Date.now();
  const over = done.exit === null ? done.why : `exit code ${done.exit}${done.why && `, ${done.why}`}`;
  await note({ fleet, by: { ...by, at } }, node, `over: ${shown}: ${over}`, 'exec');
  return { node: node.name, service: shown, ...done, took: at - by.at };
}

function onlyOne({ name, services }: { name: string; services: readonly string[] }): string {
  const [first = '', ...others] = services;
  const [instance = ''] = first.split(':');
  if (instance !== '' && others.length === 0) return instance;
  throw refusal(
    'EXEC_SERVICE',
    `slice '${name}' runs ${services.length} services`,
    `name one of them with --service: 'bootwave slice show ${name}' shows them`,
  );
}
