/**
 * One Redfish BMC: the least that `redfishtool` and `python3-sushy` of Debian take for one (DSP0266, DSP0268), and what Bootwave
 * uses beside it. Pure apart from the board: a request in, an answer out.
 */
import { randomUUID } from 'node:crypto';
import type { Board } from './board.ts';

export type Question = {
  method: string;
  path: string;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  body: unknown;
};
export type Answer = { status: number; headers?: Record<string, string>; body?: object };

const ROOT = '/redfish/v1';
const SYSTEM = `${ROOT}/Systems/1`;
const SESSIONS = `${ROOT}/SessionService/Sessions`;
const ORDER = ['Boot0001', 'Boot0002'];
const OPTIONS: Record<string, string> = { Boot0001: 'Network', Boot0002: 'Disk' };
const TARGETS = { None: null, Pxe: 'network', UefiHttp: 'network', Hdd: 'disk' } as const;
const RESETS = ['On', 'ForceOff', 'ForceRestart', 'PowerCycle'];

type Service = { answer(question: Question): Promise<Answer> };

export function redfishService(
  board: Board,
  { user, password, console: ssh }: { user: string; password: string; console?: number | undefined },
): Service {
  const sessions = new Set<string>();
  const state = {
    target: 'None' as keyof typeof TARGETS,
    order: ORDER,
    uri: '',
    secureBoot: { SecureBootEnable: true, SecureBootMode: 'UserMode' },
  };
  const basic = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

  const login = ({ body }: Question): Answer => {
    const given = (body ?? {}) as { UserName?: unknown; Password?: unknown };
    if (given.UserName !== user || given.Password !== password) return refused(401, 'no');
    const token = randomUUID();
    sessions.add(token);
    const id = `${SESSIONS}/${sessions.size}`;
    const headers = { 'x-auth-token': token, location: id };
    return {
      status: 201,
      headers,
      body: { ...resource(id, 'Session.v1_1_0.Session', 'session'), UserName: user },
    };
  };

  const reset = async ({ body }: Question): Promise<Answer> => {
    const { ResetType: type } = (body ?? {}) as { ResetType?: string };
    const isOn = await board.isOn();
    if (!RESETS.includes(type ?? '')) return refused(400, `ResetType ${type}`);
    if (type === 'On' && isOn) return refused(409, 'it is on already');
    if (type === 'ForceRestart' && !isOn) return refused(409, 'it is off');
    if (type === 'On') board.on();
    else if (type === 'ForceOff') board.off();
    else if (type === 'PowerCycle') board.cycle();
    else board.reset();
    return { status: 204 };
  };

  const patch = ({ body }: Question): Answer => {
    const { Boot: boot = {} } = (body ?? {}) as { Boot?: Record<string, unknown> };
    const target = boot.BootSourceOverrideTarget;
    if (target !== undefined && !(String(target) in TARGETS)) return refused(400, `target ${target}`);
    if (target !== undefined) {
      state.target = target as keyof typeof TARGETS;
      board.next = TARGETS[state.target];
    }
    if (boot.BootSourceOverrideEnabled === 'Disabled') board.next = null;
    if (Array.isArray(boot.BootOrder)) state.order = boot.BootOrder as string[];
    if (typeof boot.HttpBootUri === 'string') state.uri = boot.HttpBootUri;
    return { status: 200, body: {} };
  };

  const resetKeys = ({ body }: Question): Answer => {
    if (!['DeletePK', 'DeleteAllKeys'].includes((body as { ResetKeysType?: string })?.ResetKeysType ?? ''))
      return refused(400, 'ResetKeysType');
    state.secureBoot = { SecureBootEnable: false, SecureBootMode: 'SetupMode' };
    return { status: 204 };
  };

  const system = async () => ({
    ...resource(SYSTEM, 'ComputerSystem.v1_16_0.ComputerSystem', 'system'),
    Id: '1',
    UUID: board.machine.uuid,
    SerialNumber: board.machine.serial,
    Manufacturer: 'Bootwave',
    PowerState: (await board.isOn()) ? 'On' : 'Off',
    Status: { State: 'Enabled', Health: 'OK' },
    Boot: {
      BootSourceOverrideEnabled: board.next === null ? 'Disabled' : 'Once',
      BootSourceOverrideTarget: board.next === null ? 'None' : state.target,
      BootSourceOverrideMode: 'UEFI',
      'BootSourceOverrideTarget@Redfish.AllowableValues': Object.keys(TARGETS),
      'BootSourceOverrideMode@Redfish.AllowableValues': ['UEFI'],
      BootOrder: state.order,
      BootOptions: link(`${SYSTEM}/BootOptions`),
      HttpBootUri: state.uri,
    },
    SecureBoot: link(`${SYSTEM}/SecureBoot`),
    ...(ssh !== undefined && {
      SerialConsole: {
        MaxConcurrentSessions: 1,
        SSH: { ServiceEnabled: true, Port: ssh, SharedWithManagerCLI: false },
      },
    }),
    Links: {},
    Actions: {
      '#ComputerSystem.Reset': {
        target: `${SYSTEM}/Actions/ComputerSystem.Reset`,
        'ResetType@Redfish.AllowableValues': RESETS,
      },
    },
  });

  const secureBoot = () => ({
    ...resource(`${SYSTEM}/SecureBoot`, 'SecureBoot.v1_1_0.SecureBoot', 'Secure Boot'),
    ...state.secureBoot,
    Actions: {
      '#SecureBoot.ResetKeys': {
        target: `${SYSTEM}/SecureBoot/Actions/SecureBoot.ResetKeys`,
        'ResetKeysType@Redfish.AllowableValues': ['ResetAllKeysToDefault', 'DeleteAllKeys', 'DeletePK'],
      },
    },
  });

  const ok = (body: object): Answer => ({ status: 200, body });
  const routes: Record<string, (question: Question) => Answer | Promise<Answer>> = {
    'GET /redfish': () => ok({ v1: `${ROOT}/` }),
    [`GET ${ROOT}`]: () => ok(rootDocument()),
    [`GET ${ROOT}/SessionService`]: () =>
      ok({
        ...resource(`${ROOT}/SessionService`, 'SessionService.v1_1_0.SessionService', 'sessions'),
        ServiceEnabled: true,
        Sessions: link(SESSIONS),
      }),
    [`POST ${SESSIONS}`]: login,
    [`GET ${ROOT}/Systems`]: () => ok(collection(`${ROOT}/Systems`, 'ComputerSystem', [SYSTEM])),
    [`GET ${ROOT}/Chassis`]: () => ok(collection(`${ROOT}/Chassis`, 'Chassis', [])),
    [`GET ${ROOT}/Managers`]: () => ok(collection(`${ROOT}/Managers`, 'Manager', [])),
    [`GET ${SYSTEM}`]: async () => ({ ...ok(await system()), headers: { etag: 'W/"1"' } }),
    [`PATCH ${SYSTEM}`]: patch,
    [`POST ${SYSTEM}/Actions/ComputerSystem.Reset`]: reset,
    [`GET ${SYSTEM}/SecureBoot`]: () => ok(secureBoot()),
    [`POST ${SYSTEM}/SecureBoot/Actions/SecureBoot.ResetKeys`]: resetKeys,
    [`GET ${SYSTEM}/BootOptions`]: () =>
      ok(
        collection(
          `${SYSTEM}/BootOptions`,
          'BootOption',
          ORDER.map((one) => `${SYSTEM}/BootOptions/${one}`),
        ),
      ),
    ...Object.fromEntries(
      ORDER.map((one) => [
        `GET ${SYSTEM}/BootOptions/${one}`,
        () =>
          ok({
            ...resource(`${SYSTEM}/BootOptions/${one}`, 'BootOption.v1_0_0.BootOption', 'boot option'),
            BootOptionReference: one,
            DisplayName: OPTIONS[one],
          }),
      ]),
    ),
  };

  return {
    async answer(question) {
      const path = question.path.split('?')[0]!.replace(/(?<=.)\/$/, '');
      const token = String(question.headers['x-auth-token'] ?? '');
      const isOpen =
        path === '/redfish' || path === ROOT || (question.method === 'POST' && path === SESSIONS);
      if (!isOpen && question.headers.authorization !== basic && !sessions.has(token))
        return refused(401, 'no');
      if (question.method === 'DELETE' && path.startsWith(SESSIONS)) {
        sessions.delete(token);
        return { status: 204 };
      }
      return (await routes[`${question.method} ${path}`]?.(question)) ?? refused(404, `there is no ${path}`);
    },
  };
}

const link = (id: string) => ({ '@odata.id': id });

const resource = (id: string, type: string, name: string) => ({
  '@odata.id': id,
  '@odata.type': `#${type}`,
  Id: id.split('/').at(-1),
  Name: name,
});

const collection = (id: string, name: string, members: readonly string[]) => ({
  '@odata.id': id,
  '@odata.type': `#${name}Collection.${name}Collection`,
  Name: name,
  'Members@odata.count': members.length,
  Members: members.map(link),
});

const rootDocument = () => ({
  ...resource(`${ROOT}/`, 'ServiceRoot.v1_5_0.ServiceRoot', 'lab'),
  RedfishVersion: '1.6.0',
  ...Object.fromEntries(
    ['Systems', 'Managers', 'Chassis', 'SessionService'].map((one) => [one, link(`${ROOT}/${one}`)]),
  ),
  Links: { Sessions: link(SESSIONS) },
});

const refused = (status: number, message: string): Answer => ({
  status,
  body: { error: { code: 'Base.1.0.GeneralError', message } },
});
