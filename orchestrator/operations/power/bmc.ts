import { isIP, isIPv4, isIPv6 } from 'node:net';
import { refusal } from '../../../base/error.ts';
import { type Access, bmcError, type Kind, PORTS } from '../../power/bmc.ts';
import { Book, type Entry } from '../../power/book.ts';
import { LONGEST } from '../../power/ipmi.ts';
import { openBmc } from '../../power/open.ts';
import { fingerprintIn, fingerprintText, shownPin } from '../../power/pinned.ts';
import { claimOf, inLane, nodeClaim, reach } from '../../power/reach.ts';
import {
  type BmcTest,
  forgetTest,
  keepTest,
  looked,
  networksOf,
  testBmc,
  testsOf,
} from '../../power/self-test.ts';
import { note } from '../../power/switch.ts';
import type { Acting } from '../operation.ts';
import type { FirmwareView, Shown } from './acts.ts';

type Node = { node: string };
type Given = Node & {
  address: string;
  kind: Kind;
  user: string;
  password: string;
  pin?: string | undefined;
  unproven: boolean;
};

/**
 * Kept only when it answered as the node's BMC with these credentials.
 * @throws BootwaveError `BMC_ADDRESS`, `BMC_PASSWORD`, `BMC_PIN_MISSING`, `BMC_PIN_INVALID`, and what `reach` throws
 */
export async function set({ node, unproven, ...given }: Given, acting: Acting): Promise<BmcTest> {
  const { fleet, paths, by, signal } = acting;
  const record = await fleet.nodes.resolve(node);
  const access = await accessOf(given, signal);
  const began = performance.now();
  const found = await inLane(access, record, signal, async (turn) => {
    const bmc = openBmc(access, nodeClaim(record), turn);
    await bmc.power();
    const said = await claimOf(bmc, access, record, unproven);
    const entry: Entry = { ...access, ...said, suite: bmc.suite, node: record.id, by: by.actor, at: by.at };
    return { entry, test: await looked(bmc, entry, record, networks(acting)) };
  });
  await new Book(paths).set(record.site, found.entry);
  const test: BmcTest = { at: Date.now(), took: Math.round(performance.now() - began), ...found.test };
  await keepTest(fleet.redis, record.id, test);
  const { kind, host, port, user } = access;
  const what = `set: ${kind} at ${host} port ${port} as ${user}`;
  await note(acting, record, found.entry.unproven ? `${what}, unproven` : what, 'bmc');
  return test;
}

async function accessOf(
  { address, kind, user, password, pin }: Omit<Given, 'node' | 'unproven'>,
  signal: AbortSignal,
): Promise<Access> {
  const place = addressIn(address, PORTS[kind]);
  if (place === null)
    throw refusal(
      'BMC_ADDRESS',
      `'${address}' is not the IP address of a BMC`,
      'give an IP address, with :PORT where it is another one; a name could come to mean another host',
    );
  if (kind === 'ipmi') {
    if (pin !== undefined)
      throw refusal('BMC_PIN_INVALID', 'IPMI has no certificate to pin', 'leave --pin out');
    for (const [what, text, most] of [
      ['user', user, LONGEST.user],
      ['password', password, LONGEST.password],
    ] as const)
      if (Buffer.byteLength(text) > most)
        throw refusal(
          'BMC_PASSWORD',
          `the ${what} has more than the ${most} bytes that IPMI 2.0 has`,
          'give another one',
        );
    return { kind, ...place, user, password, pin: null, suite: null };
  }
  if (user.includes(':'))
    throw refusal('BMC_PASSWORD', 'a user name of HTTP has no colon', 'give another user');
  if (pin === undefined) {
    const shown = fingerprintText(await shownPin(place, signal));
    throw refusal(
      'BMC_PIN_MISSING',
      `the certificate of ${address} has the SHA-256 fingerprint ${shown}; nothing was sent to it`,
      `compare it with the page of the BMC, then add --pin ${shown}`,
    );
  }
  const pinned = fingerprintIn(pin);
  if (pinned === null)
    throw refusal(
      'BMC_PIN_INVALID',
      '--pin is no SHA-256 fingerprint of a certificate',
      'it has 64 hexadecimal digits',
    );
  return { kind, ...place, user, password, pin: pinned, suite: null };
}

/** `10.0.0.1`, `10.0.0.1:623`, `fd00::1`, `[fd00::1]:623`. */
export function addressIn(text: string, usual: number): { host: string; port: number } | null {
  if (isIP(text) !== 0) return text.includes('%') ? null : { host: text, port: usual };
  const [, six, four, digits] = /^(?:\[([0-9a-f:.]+)\]|([0-9.]+))(?::(\d{1,5}))?$/i.exec(text) ?? [];
  const host = six ?? four ?? '';
  const port = digits === undefined ? usual : Number(digits);
  const fits = six === undefined ? isIPv4(host) : isIPv6(host);
  return fits && port >= 1 && port <= 65_535 ? { host, port } : null;
}

const networks = ({ wires }: Acting) =>
  networksOf((wires()?.addresses ?? []).map(({ interface: name }) => name));

export async function show({ node }: Node, { fleet, paths }: Acting): Promise<Shown> {
  const record = await fleet.nodes.resolve(node);
  const { node: _, password: __, ...shown } = await new Book(paths).get(record);
  const tests = await testsOf(fleet.redis, [record.id]);
  return { ...shown, test: tests.get(record.id) ?? null };
}

/** @throws BootwaveError `BMC_NONE`, `BMC_BOOK`; what the BMC does is the result */
export async function test({ node }: Node, acting: Acting): Promise<BmcTest> {
  const { fleet, paths, signal } = acting;
  const record = await fleet.nodes.resolve(node);
  await new Book(paths).get(record);
  const found = await testBmc(paths, record, networks(acting), signal);
  await keepTest(fleet.redis, record.id, found);
  return found;
}

export async function remove({ node }: Node, acting: Acting): Promise<{ removed: boolean }> {
  const { fleet, paths } = acting;
  const record = await fleet.nodes.resolve(node);
  const removed = await new Book(paths).remove(record.id);
  await forgetTest(fleet.redis, record.id);
  if (removed) await note(acting, record, 'removed', 'bmc');
  return { removed };
}

type Wanted = Node & {
  setupMode?: true | undefined;
  order?: readonly string[] | undefined;
  httpUri?: string | undefined;
};

/** @throws BootwaveError `BMC_LACKS`, `BMC_ORDER`, `BMC_NEXT`, and what `reach` throws */
export async function firmware({ node, ...wanted }: Wanted, acting: Acting): Promise<FirmwareView> {
  const { fleet, paths, signal } = acting;
  const record = await fleet.nodes.resolve(node);
  const steps = [
    wanted.setupMode === true ? 'Secure Boot to setup mode' : '',
    wanted.order === undefined ? '' : `boot order ${wanted.order.join(', ')}`,
    wanted.httpUri === undefined ? '' : `HTTP boot from ${wanted.httpUri}`,
  ].filter((step) => step !== '');
  if (steps.length > 0) await note(acting, record, `firmware: ${steps.join('; ')}`, 'bmc');
  return reach(paths, record, signal, async ({ bmc, entry }) => {
    const settings = bmc.firmware;
    if (settings === null)
      throw bmcError(
        'BMC_LACKS',
        `the BMC at ${entry.host} speaks IPMI, which knows no such settings`,
        'use Redfish',
      );
    if (wanted.order !== undefined) await settings.bootOrder(wanted.order);
    if (wanted.httpUri !== undefined) await settings.httpBootUri(wanted.httpUri);
    if (wanted.setupMode === true) await settings.secureBootSetup();
    return settings.show();
  });
}
