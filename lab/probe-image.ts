/**
 * A good image that tells on the console, a line of JSON, what root on the node can still do: everything below runs as
 * root without any of the agent's limits. Only tests make one; a node that runs it attests another PCR 11.
 */

/** Runs on the node, under its own Node. */
const PROGRAM = `
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
const attempt = (work) => { try { return String(work() ?? 'done').trim(); } catch (error) { return 'no: ' + (error.code ?? error.message); } };
const command = (program, ...args) => attempt(() => {
  try { return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }); }
  catch (error) { throw new Error(String(error.stderr ?? error.code).trim() || String(error.code)); }
});
const read = (path) => attempt(() => readFileSync(path, 'utf8'));
const release = readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim();
const signed = readFileSync('/usr/lib/modules/' + release + '/kernel/drivers/net/dummy.ko');
// Behind a module: its signature, 12 bytes that end with the signature's length, and a marker (Linux, module_signature.h).
const end = signed.lastIndexOf(Buffer.from('~Module signature appended~')) - 12;
writeFileSync('/run/unsigned.ko', signed.subarray(0, end - signed.readUInt32BE(end + 8)));
const state = () => readFileSync('/proc/mounts', 'utf8').split('\\n').find((line) => line.includes(' /var/lib/bootwave '));
for (let i = 0; i < 600 && state() === undefined; i++) await new Promise((resolve) => setTimeout(resolve, 500));
const processes = readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name)).map((pid) => read('/proc/' + pid + '/comm'));
const sysctl = (name) => read('/proc/sys/' + name.replaceAll('.', '/'));
console.log('probe: ' + JSON.stringify({
  lockdown: read('/sys/kernel/security/lockdown'),
  memory: attempt(() => readFileSync('/dev/mem').length),
  unsigned: command('/usr/sbin/insmod', '/run/unsigned.ko'),
  root: attempt(() => writeFileSync('/usr/lib/probe', '')),
  etc: attempt(() => writeFileSync('/etc/probe', '')),
  kexec: sysctl('kernel.kexec_load_disabled'),
  kptr: sysctl('kernel.kptr_restrict'),
  bpf: sysctl('kernel.unprivileged_bpf_disabled'),
  logins: processes.filter((name) => /getty|login|sulogin|^(ba|da)?sh$/.test(name)),
  filter: command('/usr/sbin/nft', 'list', 'ruleset'),
  state: state() ?? 'not mounted',
}));
`;

/** Lines for the first program, as those of bad-image.ts. */
export const PROBE: readonly string[] = [
  "busybox cat > /root/run/probe.mjs <<'PROBE'",
  ...PROGRAM.trim().split('\n'),
  'PROBE',
];
export const PROBE_COMMAND = '/usr/lib/bootwave/node /run/probe.mjs';
