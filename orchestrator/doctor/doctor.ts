import { BootwaveError, messageOf } from '../../base/error.ts';
import type { DataPaths } from '../../base/paths.ts';
import { rootPem } from '../../keys/authority.ts';
import { checkBmcs } from './bmcs.ts';
import { checkBreakGlass } from './break-glass.ts';
import { type Check, fail, ok, warn } from './check.ts';
import { checkDecisions } from './decisions.ts';
import { askForOffers } from './dhcp-client.ts';
import { DHCP_CHECK, type DhcpSituation, judgeDhcp } from './dhcp-servers.ts';
import { checkDrills } from './drills.ts';
import { type AskDeaf, checkHearing } from './hearing.ts';
import { checkImage, checkLoaders } from './image.ts';
import { checkIncidents } from './incidents.ts';
import { checkInterface } from './interface.ts';
import { checkAddress6, checkDhcp6 } from './ipv6.ts';
import { checkKeyFiles } from './key-files.ts';
import { checkListening } from './listening.ts';
import { checkPackages } from './packages.ts';
import { checkPorts } from './ports.ts';
import { checkRedis } from './redis.ts';
import { checkReleases } from './releases.ts';
import { runningServers } from './running.ts';
import { checkServices } from './services.ts';
import { checkHttp, checkTftp, checkTls } from './wire.ts';

export type DoctorOptions = {
  deaf: AskDeaf;
  paths: DataPaths;
  /** The interface of the boot network; without it the one that a running boot server serves, if there is just one. */
  interface?: string;
  /** Which of its addresses; the first when left out. */
  address?: string;
  /** `bootwave up --proxy` is meant to run here. */
  proxy: boolean;
  /** Ports of a boot server that does not run yet, or whose command line does not name them. */
  httpPort: number;
  httpsPort: number;
  /** Each result as it comes. */
  onCheck?: (check: Check) => void;
  signal?: AbortSignal;
};

/** Checks everything that 'bootwave up' needs, in the order in which a new installation needs it; changes nothing. */
export async function examine(options: DoctorOptions): Promise<Check[]> {
  const checks: Check[] = [];
  const add = (check: Check): void => {
    checks.push(check);
    options.onCheck?.(check);
  };
  const { paths, proxy } = options;
  if (process.getuid?.() !== 0) {
    add(warn('root', 'keys, ports and the wire are closed to this user', 'run it as root'));
  }
  add(await checkPackages());
  add(await looked('key files', () => checkKeyFiles(paths.keys)));
  let newest: Awaited<ReturnType<typeof checkImage>>['newest'];
  const image = async () => {
    const found = await checkImage(paths);
    newest = found.newest;
    return found.check;
  };
  add(await looked('image', image));
  add(await looked('releases', () => checkReleases(paths)));
  add(await looked('boot loaders', () => checkLoaders(paths)));
  add(await looked('Redis', () => checkRedis(paths)));
  add(await looked('listening', () => checkListening(paths)));
  add(await looked('decisions', () => checkDecisions(paths)));
  add(await looked('break-glass', () => checkBreakGlass(paths)));
  add(await looked('BMCs', () => checkBmcs(paths)));
  add(await looked('incidents', () => checkIncidents(paths)));
  add(await looked('drills', () => checkDrills(paths)));
  add(await looked('services', () => checkServices(paths)));

  const servers = await runningServers();
  const device = options.interface ?? (servers.length === 1 ? servers[0]?.interface : undefined);
  if (device === undefined) {
    add(
      warn(
        'interface',
        'none was named, so the wire was not looked at',
        `add --interface; 'ip -br addr' lists them`,
      ),
    );
    return checks;
  }
  const found = await checkInterface(device, options.address);
  add(found.check);
  const hearing = await checkHearing(options.deaf, device);
  if (hearing !== undefined) add(hearing);
  const { address } = found;
  if (address === undefined) return checks;

  const ours = servers.find((server) => server.interface === device);
  const httpPort = ours?.httpPort ?? options.httpPort;
  const httpsPort = ours?.httpsPort ?? options.httpsPort;
  add(await checkPorts({ interface: device, address, httpPort, httpsPort }, ours));
  if (found.link) {
    const role = ours === undefined ? 'absent' : ours.proxy ? 'proxy' : 'full';
    add(await checkDhcp(device, { address, ours: role, proxyWanted: proxy }, options.signal));
  }
  if (ours === undefined) {
    const command = `bootwave up --interface ${device} ${proxy ? '--proxy' : '--range FROM-TO'}`;
    add(ok('boot server', `none runs on ${device} yet; '${command}' starts one`));
    return checks;
  }
  add(await checkTftp(address, paths.loaders));
  add(await checkHttp({ serverIp: address, httpPort }, newest));
  if (ours.ipv6 !== undefined) {
    const found6 = await checkAddress6(device, ours.ipv6);
    add(found6.check);
    const serverIp = found6.address;
    if (serverIp !== undefined) add(await checkHttp({ serverIp, httpPort }, newest, 'HTTP over IPv6'));
    if (found.link) add(await checkDhcp6(device, ours.ipv6, options.signal));
  }
  add(await checkTls(address, httpsPort, await rootPem(paths.keys).catch(() => undefined)));
  return checks;
}

/** What the system refuses to one look says nothing of what the others find. */
async function looked(name: string, look: () => Promise<Check>): Promise<Check> {
  try {
    return await look();
  } catch (error) {
    const { syscall } = error as NodeJS.ErrnoException;
    if (syscall === undefined) throw error;
    return fail(name, `it cannot be looked at: ${messageOf(error)}`, 'run it as root');
  }
}

async function checkDhcp(
  device: string,
  situation: Omit<DhcpSituation, 'answers'>,
  signal?: AbortSignal,
): Promise<Check> {
  try {
    const answers = await askForOffers(device, signal);
    const silent = !answers.some((answer) => answer.server === situation.address);
    // A packet may be lost: our own server is not reported silent after only one question.
    if (situation.ours === 'full' && silent) answers.push(...(await askForOffers(device, signal)));
    return judgeDhcp({ ...situation, answers });
  } catch (error) {
    if (!(error instanceof BootwaveError)) throw error;
    return warn(DHCP_CHECK, `not asked: ${error.what}`, error.next ?? '');
  }
}
