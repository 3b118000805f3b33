/** The unprivileged half of the agent: finds the boot server, enrols this machine, and keeps it a member. */
import { readFileSync } from 'node:fs';
import os from 'node:os';
import { defined } from '../../../base/defined.ts';
import { exists } from '../../../base/files.ts';
import type { AskConfig } from '../../../protocol/agent/config.ts';
import type { AskDisk } from '../../../protocol/agent/disk.ts';
import { EXEC_SOCKET } from '../../../protocol/agent/exec.ts';
import { FLOW_SOCKET } from '../../../protocol/agent/flows.ts';
import { type AskJournal, JOURNAL_SOCKET } from '../../../protocol/agent/journal.ts';
import { DOWNLOADS, MEMORY, STATE } from '../../../protocol/agent/places.ts';
import type { AskServices } from '../../../protocol/agent/services.ts';
import { type AskSmart, SMART_SOCKET } from '../../../protocol/agent/smart.ts';
import type { AskWipe } from '../../../protocol/agent/wipe.ts';
import { LINK_SOCKET } from '../../../protocol/link/messages.ts';
import { readOrderKeys } from '../../../protocol/order-envelope.ts';
import { Admitted } from './admitted.ts';
import { Agent } from './agent.ts';
import type { View } from './core/state.ts';
import { discover, localAddresses } from './discover.ts';
import { readHardware, readMachine, readRunning } from './hardware.ts';
import { readErrors } from './hardware-errors.ts';
import { exchange, helperAt, PATIENCE } from './helper-client.ts';
import { journal } from './journal.ts';
import { Member } from './member.ts';
import { reachable } from './reachable.ts';
import { banner, screen } from './screen.ts';
import { seldom } from './seldom.ts';
import { probe } from './services/probe.ts';
import { SmartWatch } from './smart.ts';
import { Terminals } from './terminals.ts';
import { beatHealth } from './vitals.ts';
import { Watchdog } from './watchdog.ts';

const PLACES = {
  root: '/usr/lib/bootwave/fleet/root.crt',
  orderKeys: '/usr/lib/bootwave/fleet/order.pub',
  releaseRoot: '/usr/lib/bootwave/fleet/release-root.json',
  helper: '/run/bootwave/helper.sock',
  disk: '/run/bootwave/disk.sock',
  wipe: '/run/bootwave/wipe.sock',
  config: '/run/bootwave/config.sock',
  services: '/run/bootwave/services.sock',
  instances: '/run/bootwave/services',
  leases: '/run/systemd/netif/leases',
  osRelease: '/etc/os-release',
  proc: '/proc',
  sys: '/sys',
} as const;

/** Milliseconds: a failed unit is noticed half a minute later at most. */
const FAILED_UNITS_LIFE = 30_000;

const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
process.once('SIGINT', () => stop.abort());

const terminals = new Terminals();
const askHelper = helperAt(PLACES.helper);
const askJournal = helperAt<AskJournal>(JOURNAL_SOCKET);
const askWipe = helperAt<AskWipe>(PLACES.wipe, PATIENCE.wipe);
const smart = new SmartWatch(helperAt<AskSmart>(SMART_SOCKET), () => performance.now());
const running = await readRunning(PLACES.osRelease);
const addresses = () => localAddresses().map(({ address }) => address);

let lastEvent = performance.now();
new Watchdog(process.env, () => lastEvent).start(stop.signal);

const member = new Member({
  askDisk: helperAt<AskDisk>(PLACES.disk, PATIENCE.disk),
  askConfig: helperAt<AskConfig>(PLACES.config),
  services: {
    ask: helperAt<AskServices>(PLACES.services, PATIENCE.disk),
    hasBegun: () => exists(PLACES.instances),
    probe,
    secrets: { ask: askHelper, server: () => agent.server },
  },
  failedUnits: seldom(FAILED_UNITS_LIFE, async () => (await askHelper({ operation: 'failed-units' })).units),
  writeLists: async () => void (await askHelper({ operation: 'secure-boot-write' })),
  renewLists: async () => (await askHelper({ operation: 'secure-boot-renew' })).written,
  restart: async () => void (await askHelper({ operation: 'restart' })),
  reachable: () => reachable(),
  running,
  orderKeys: readOrderKeys(readFileSync(PLACES.orderKeys, 'utf8')),
  orders: {
    take: (envelope) => askHelper({ operation: 'take-order', envelope }),
    memory: () => askHelper({ operation: 'order-memory' }),
  },
  releaseRoot: readFileSync(PLACES.releaseRoot),
  machine: await readMachine(PLACES.sys),
  usage: { proc: '/proc', sys: PLACES.sys, state: STATE },
  flows: () => exchange(FLOW_SOCKET, '', PATIENCE.machine),
  logs: (asked) => askJournal({ operation: 'instance-log', asked }),
  execs: EXEC_SOCKET,
  memory: MEMORY,
  downloads: DOWNLOADS,
  socketPath: LINK_SOCKET,
  log: journal,
  now: Date.now,
  uptime: () => os.uptime() * 1000,
  signal: stop.signal,
});
await member.start();

const admitted = new Admitted((address) => askHelper({ operation: 'admit', address }));

function show(view: View): void {
  member.connected(view.phase === 'healthy', view.notice ?? view.phase);
  terminals.write(screen(view, addresses()));
}

const agent = new Agent({
  rootPem: readFileSync(PLACES.root, 'utf8'),
  // The PCR values that the TPM quotes at the enrolment are the ones that the link reports for this boot.
  askHelper: async (request) => {
    const answer = await askHelper(request);
    if (request.operation === 'quote') member.quoted((answer as { pcrs: Record<string, string> }).pcrs['11']);
    return answer;
  },
  async facts() {
    const identity = await askHelper({ operation: 'identify' });
    terminals.write(banner({ version: running.version, ...identity.smbios }, addresses()));
    return { identity, hardware: await readHardware(PLACES.sys), running };
  },
  wipe: () => askWipe({ operation: 'disk-wipe' }),
  showDisks: async (read) => (await askWipe({ operation: 'disk-evidence', read })).report,
  discover: (thorough) => discover(PLACES.leases, thorough),
  async heartbeat(asked) {
    await member.refresh();
    const told = asked.smart ? smart.now() : undefined;
    const hardware = asked.hardware
      ? { clock: Date.now(), ...readErrors(PLACES), ...defined({ smart: told }) }
      : undefined;
    return { running, uptime: os.uptime(), ...beatHealth(member.vitals), ...defined({ hardware }) };
  },
  async heard({ images, secrets }, url) {
    member.heard(images, secrets);
    // Runs beside the heartbeats, which must not wait for anything.
    void admitted.take(url);
  },
  approved: (id) => member.approved(id),
  barred: (reason) => member.barred(reason),
  show,
  now: Date.now,
  random: Math.random,
  signal: stop.signal,
  lived: () => {
    lastEvent = performance.now();
  },
});
await agent.run();
process.exit(0);
