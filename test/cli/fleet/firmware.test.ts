import test, { type ExecutionContext } from 'ava';
import { firmwareText } from '../../../cli/fleet/firmware.ts';
import {
  beatOfBoot,
  certificateFor,
  enrolment,
  fleetFor,
  inventory,
  quoted,
} from '../../orchestrator/fleet/support.ts';
import { commandsOn } from '../in-process.ts';

const GOOD = '0a'.repeat(32);
const OTHER = '0b'.repeat(32);

/** Nodes web1 to web<count> of one model; the last one has been given newer firmware. */
async function members(t: ExecutionContext, count: number) {
  const world = await fleetFor(t);
  const { fleet, directory, by } = world;
  for (let n = 1; n <= count; n += 1) {
    const isLast = n === count;
    const firmware = { ...inventory(n).firmware, version: isLast ? '2' : '1' };
    const pcrs = { ...quoted('1.0', 'a7'.repeat(32)), '0': isLast ? OTHER : GOOD };
    const e = enrolment(n, 1, { pcrs, inventory: inventory(n, { firmware }) });
    await directory.enrol(e);
    await fleet.approve(e.id, e.words, by(), `web${n}`);
    await directory.recordCertificate(e.id, certificateFor(e));
    await directory.heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e));
  }
  return { ...world, bootwave: commandsOn(t, world.paths.root) };
}

test.serial('what is known and what is only shown is listed, accepted, and taken back', async (t) => {
  const { bootwave, fleet } = await members(t, 3);
  const list = async () => (await bootwave('anna', 'firmware', 'list')).out;
  const before = await list();
  t.regex(
    before,
    /QEMU Standard PC +0a0a0a0a0a0a0a0a +EDK II 1 \S+ +known +\S+ \S+ +web1 +2 +policy: the first/,
  );
  t.regex(before, /QEMU Standard PC +0b0b0b0b0b0b0b0b +EDK II 2 \S+ +not known +web3 +1$/m);
  t.regex(before, /bootwave firmware accept web3 --shows (0b){8} --reason/);
  const nodes = (await bootwave('anna', 'node', 'list')).out;
  t.regex(nodes, /^web3: firmware \(PCR 0\) is 0b0b0b0b0b0b0b0b, which is not known/m);

  const accept = ['firmware', 'accept', 'web3', '--shows'];
  t.is((await bootwave('anna', ...accept, '0a0a', '--reason', 'x')).code, 'FIRMWARE_CHANGED');
  const done = await bootwave('anna', ...accept, '0b0b', '--reason', 'rack 7 \u001b[2J');
  t.regex(done.out, /^PCR 0 (0b){32} is known of model QEMU Standard PC; its nodes are well/);
  const again = await bootwave('anna', 'firmware', 'accept', 'web3', '--reason', 'again');
  t.regex(again.out, /is known of model QEMU Standard PC already$/);
  const after = await list();
  t.regex(after, /0b0b0b0b0b0b0b0b .* known .* web3 +1 +operator:anna\S*: rack 7/);
  t.false(after.includes('\u001b'), 'a reason cannot move the cursor');
  t.notRegex(after, /firmware accept/);

  const { value } = await bootwave('anna', 'firmware', 'list', '--json');
  t.like(
    value.find(({ pcr0 }: { pcr0: string }) => pcr0 === OTHER),
    { model: 'QEMU Standard PC', pcr0: OTHER, known: { name: 'web3' }, nodes: ['web3'] },
  );
  const gone = await bootwave('anna', 'firmware', 'forget', '0a0a0a0a', '--reason', 'CVE');
  t.regex(gone.out, /no longer known of model QEMU Standard PC/);
  t.regex(await list(), /0a0a0a0a0a0a0a0a .* taken back .* web1 +2 +operator:anna\S*: CVE$/m);
  t.is(
    (await bootwave('anna', 'firmware', 'forget', '0a0a0a0a', '--reason', 'CVE')).code,
    'FIRMWARE_UNKNOWN',
  );
  t.is((await bootwave('anna', 'firmware', 'accept', 'web9', '--reason', 'x')).code, 'NODE_UNKNOWN');
  const audited = (await fleet.audit.read()).map(({ action }) => action);
  for (const action of ['learn', 'accept', 'forget']) t.true(audited.includes(`firmware-${action}`), action);
});

test.serial("a site's word on firmware is set and shown", async (t) => {
  const { bootwave } = await members(t, 1);
  const line = async (...args: string[]) =>
    /firmware is not known of their model: (.*)/.exec((await bootwave('anna', 'site', ...args)).out)?.[1];
  t.is(await line('show', 'default'), 'let in, and shown');
  t.is(await line('set', 'default', '--firmware', 'enforce'), 'refused');
  t.regex((await bootwave('anna', 'site', 'list')).out, /FIRMWARE\n.*enforce$/m);
  t.is(await line('set', 'default', '--attestation', 'report'), 'let in, and shown');
});

test('a fleet without a measured node says so', (t) => {
  t.regex(firmwareText([]), /^no node with a TPM/);
});
