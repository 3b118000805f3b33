/**
 * Runs below `unshare`, in a network namespace that plays the host and holds nothing else, with a list of named
 * namespaces of its own: so "exactly as before" can be said of all of it, whatever else this machine does meanwhile.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createLab } from '../../lab/create.ts';
import type { Lab } from '../../lab/lab.ts';

const [folder = ''] = process.argv.slice(2);

const ip = (...args: string[]) =>
  JSON.parse(execFileSync('ip', ['-j', ...args], { encoding: 'utf8' }).trim() || '[]');

/** Programs, other than this one and its parents, that name the lab's folder. */
function processes(): string[] {
  return readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid && Number(pid) !== process.ppid)
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return '';
      }
    })
    .filter((line) => line.includes(folder));
}

const snapshot = () => ({
  links: ip('link'),
  addresses: ip('addr'),
  routes: ip('route', 'show', 'table', 'all'),
  namespaces: ip('netns'),
  rules: execFileSync('nft', ['list', 'ruleset'], { encoding: 'utf8' }),
  forwarding: readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8'),
  processes: processes(),
  folder: existsSync(folder),
});

const make = (name: string): Promise<Lab> =>
  createLab({
    name,
    folder: `${folder}/${name}`,
    nodes: [{ name: 'n1', firmware: 'bios', tpm: true, memoryMiB: 256 }],
    accelerator: 'tcg',
  });

const before = snapshot();
const [a, b] = await Promise.all([make('a'), make('b')]);
await Promise.all([a.powerOn('n1'), b.powerOn('n1')]);
await Promise.all([a, b].map((lab) => lab.startService('idle', 'sleep', ['1000'])));
const during = snapshot();
const inside = await Promise.all(
  [a, b].map(async (lab) => JSON.parse((await lab.inNamespace('ip', ['-j', '-4', 'addr'])).stdout)),
);
await a.down();
const otherStays = (await b.status()).nodes[0]?.power.on;
await b.down();
await b.down().catch(() => {});
console.log(JSON.stringify({ before, during, inside, otherStays, after: snapshot() }));
