/** The unprivileged half of the agent: finds the boot server, enrols this machine, and keeps it a member. */
import { readFileSync } from 'node:fs';
import os from 'node:os';
import { Agent } from './agent.ts';
import { discover, localAddresses } from './discover.ts';
import { helperAt } from './helper-client.ts';
import { readHardware, readRunning } from './inventory.ts';
import { banner, screen } from './screen.ts';
import { Terminals } from './terminals.ts';
import { Watchdog } from './watchdog.ts';

const PLACES = {
  root: '/usr/lib/bootwave/fleet/root.crt',
  helper: '/run/bootwave/helper.sock',
  leases: '/run/systemd/netif/leases',
  osRelease: '/etc/os-release',
  sys: '/sys',
} as const;

const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
process.once('SIGINT', () => stop.abort());

const terminals = new Terminals();
const askHelper = helperAt(PLACES.helper);
const running = await readRunning(PLACES.osRelease);
const addresses = () => localAddresses().map(({ address }) => address);

let lastEvent = performance.now();
new Watchdog(process.env, () => lastEvent).start(stop.signal);

await new Agent({
  rootPem: readFileSync(PLACES.root, 'utf8'),
  askHelper,
  async facts() {
    const identity = await askHelper({ operation: 'identify' });
    terminals.write(banner({ version: running.version, ...identity.smbios }, addresses()));
    return { identity, hardware: await readHardware(PLACES.sys), running };
  },
  discover: (thorough) => discover(PLACES.leases, thorough),
  heartbeat: async () => ({ running, uptime: os.uptime(), healthy: true, reason: '' }),
  show: (view) => terminals.write(screen(view, addresses())),
  now: Date.now,
  random: Math.random,
  signal: stop.signal,
  lived: () => {
    lastEvent = performance.now();
  },
}).run();
process.exit(0);
