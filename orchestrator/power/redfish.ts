/** Redfish over HTTPS with a pinned certificate. */
import type { z } from 'zod';
import {
  type Access,
  type Bmc,
  badAnswer,
  bmcError,
  type Claim,
  type Firmware,
  keptNext,
  LIMITS,
  lostNext,
  refused,
} from './bmc.ts';
import { judge, uuidsIn } from './claim.ts';
import { askPinned, Line, type Question, type Reply } from './pinned.ts';
import {
  bootOptionSchema,
  collectionSchema,
  consoleOf,
  isNetworkNext,
  networkOverride,
  powerOf,
  resetOf,
  rootSchema,
  type System,
  secureBootSchema,
  setupOf,
  shownFirmware,
  systemSchema,
} from './redfish-documents.ts';
import { openSshSerial } from './redfish-serial.ts';

/** Redfish allows no other beginning (DSP0266, 6.4). */
const ROOT = '/redfish/v1/';
/** Boot options that are asked for their names. */
const OPTIONS = 32;

/** @param node the machine that is looked for where a service has several systems */
export function redfish(access: Access, node: Claim, signal: AbortSignal): Bmc {
  const { host } = access;
  const line = new Line(access);
  const ask = (question: Question, until = signal): Promise<Reply> =>
    askPinned(access, question, until, LIMITS, question.method === 'GET' ? line : undefined);

  const get = async <T>(
    path: string,
    schema: z.ZodType<T>,
    until = signal,
  ): Promise<{ value: T; etag: string | null }> => {
    const { status, body, etag } = await ask({ method: 'GET', path }, until);
    if (status !== 200) throw badAnswer(host, `answers ${path} with status ${status}`);
    const parsed = schema.safeParse(body);
    if (parsed.success) return { value: parsed.data, etag };
    const [issue] = parsed.error.issues;
    throw badAnswer(
      host,
      `answers ${path} with something that is not Redfish: ${issue?.path.join('.')} ${issue?.message}`,
    );
  };

  const send = async (question: Question, until = signal): Promise<void> => {
    const { status, body } = await ask(question, until);
    if (status >= 200 && status < 300) return;
    const what = `${question.method} ${question.path} (${status}): ${reasonIn(body)}`;
    throw status >= 400 && status < 500 ? refused(host, what) : badAnswer(host, `failed at ${what}`);
  };

  let found: string | undefined;
  /** The one system, or that of several that is the node. */
  const place = async (): Promise<string> => {
    if (found !== undefined) return found;
    const root = await get(ROOT, rootSchema);
    const { Members: members } = (await get(root.value.Systems['@odata.id'], collectionSchema)).value;
    const [only, ...others] = members.map((one) => one['@odata.id']);
    if (only === undefined) throw badAnswer(host, 'has no system');
    if (others.length === 0) found = only;
    for (const path of [only, ...others].slice(0, LIMITS.systems)) {
      if (found !== undefined) break;
      if (judge(node, claimOf((await get(path, systemSchema)).value)) === 'same') found = path;
    }
    if (found !== undefined) return found;
    throw bmcError(
      'BMC_OTHER_NODE',
      `none of the ${members.length} systems of the BMC at ${host} is this node`,
      'give the BMC that the node has',
    );
  };
  const system = async (until = signal) => get(await place(), systemSchema, until);

  const patch = async (body: object, until = signal): Promise<void> => {
    const { etag } = await system(until);
    await send({ method: 'PATCH', path: await place(), body, etag }, until);
  };

  const missing = (what: string) =>
    bmcError('BMC_LACKS', `the BMC at ${host} does not offer ${what}`, 'do it at the machine');

  const secureBoot = async (one: System) =>
    one.SecureBoot == null ? null : (await get(one.SecureBoot['@odata.id'], secureBootSchema)).value;

  const firmware: Firmware = {
    async show() {
      const { value } = await system();
      return shownFirmware(value, await secureBoot(value), await optionNames(value));
    },
    async secureBootSetup() {
      const state = await secureBoot((await system()).value);
      const step = state === null ? null : setupOf(state);
      if (step === null) throw missing("Secure Boot's setup mode");
      await send({ method: 'POST', path: step.target, body: { ResetKeysType: step.type } });
    },
    async bootOrder(references) {
      const before = (await system()).value.Boot?.BootOrder;
      if (before == null) throw missing('a boot order');
      if (before.length !== references.length || !before.every((one) => references.includes(one)))
        throw bmcError(
          'BMC_ORDER',
          `a boot order names each of its options once: ${before.join(', ')}`,
          "'bootwave node bmc firmware' shows what they are",
        );
      await patch({ Boot: { BootOrder: references } });
      const after = (await system()).value.Boot?.BootOrder ?? [];
      // Some firmware takes it at the next start only; then the BMC says so by @Redfish.Settings, which few have.
      if (after.join() !== references.join())
        throw bmcError(
          'BMC_NEXT',
          `the BMC at ${host} said yes, and shows the old order`,
          'look again after a restart',
        );
    },
    async httpBootUri(uri) {
      if ((await system()).value.Boot?.HttpBootUri == null) throw missing('a URI for HTTP boot');
      await patch({ Boot: { HttpBootUri: uri } });
      if ((await system()).value.Boot?.HttpBootUri !== uri)
        throw bmcError(
          'BMC_NEXT',
          `the BMC at ${host} said yes, and shows the old URI`,
          'look again after a restart',
        );
    },
  };

  const optionNames = async ({ Boot: boot }: System): Promise<Map<string, string>> => {
    const named = new Map<string, string>();
    if (boot?.BootOptions == null) return named;
    const { Members: members } = (await get(boot.BootOptions['@odata.id'], collectionSchema)).value;
    for (const member of members.slice(0, OPTIONS)) {
      const { value } = await get(member['@odata.id'], bootOptionSchema);
      if (value.BootOptionReference != null) named.set(value.BootOptionReference, value.DisplayName ?? '');
    }
    return named;
  };

  return {
    suite: null,
    firmware,
    async power() {
      const { value } = await system();
      return powerOf(value) ?? Promise.reject(badAnswer(host, 'does not say whether the power is on'));
    },
    uuids: async () => claimOf((await system()).value).uuids,
    serial: async () => claimOf((await system()).value).serial,
    async act(action) {
      const step = resetOf((await system()).value, action);
      if (step === null) throw missing(`power ${action}`);
      await send({ method: 'POST', path: step.target, body: { ResetType: step.type } });
    },
    async nextFromNetwork(kind) {
      const override = networkOverride((await system()).value, kind);
      if (override === null) throw missing('a boot from the network');
      await patch(override);
      if (isNetworkNext((await system()).value)) return;
      throw lostNext(host);
    },
    async nextAsUsual() {
      const until = AbortSignal.timeout(LIMITS.takeBack);
      await patch({ Boot: { BootSourceOverrideEnabled: 'Disabled' } }, until);
      if (isNetworkNext((await system(until)).value)) throw keptNext(host);
    },
    holes: async () => [],
    async console(until) {
      const offered = consoleOf((await system()).value);
      if (offered !== null) return openSshSerial(access, offered, until);
      throw bmcError(
        'BMC_LACKS',
        `the BMC at ${host} offers no serial console by SSH (Redfish SerialConsole)`,
        "switch it on in its settings; where it speaks IPMI, too, set it so: 'bootwave node bmc set --kind ipmi'",
      );
    },
  };
}

const claimOf = ({ UUID: uuid, SerialNumber: serial }: System): Claim => ({
  uuids: uuidsIn(uuid ?? ''),
  serial: serial ?? null,
});

/** DSP0266, 8.6: a message, or a list of them. */
function reasonIn(body: unknown): string {
  const { error } = (body ?? {}) as { error?: { message?: unknown; '@Message.ExtendedInfo'?: unknown } };
  const info = error?.['@Message.ExtendedInfo'];
  const first = Array.isArray(info) ? (info[0] as { Message?: unknown } | undefined)?.Message : undefined;
  const said = [first, error?.message].find((one) => typeof one === 'string');
  return typeof said === 'string' ? said.slice(0, 300) : 'it does not say why';
}
