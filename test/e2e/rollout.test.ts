/**
 * A machine from bare metal to an installed node and a good rollout, on real firmware and a real disk: what the core team
 * relies on. A bad rollout goes on from here in restored.test.ts; the long matrix (hangs, illness, power cuts, three nodes)
 * is in test/rack.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { release } from '../../image/publish/publish.ts';
import { publish } from '../../lab/bad-image.ts';
import { LAB_NETWORK } from '../../lab/namespace.ts';
import { ANY_MACHINE } from '../../protocol/release-target.ts';
import type { Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { approve, askInstall, ended, installed, startRollout } from '../support/rollout.ts';
import { type Walk, walk } from '../support/snapshot.ts';
import { stateUuid } from '../support/state-disk.ts';
import { GOOD, NODE, UPDATED } from '../support/updated.ts';

/** On the nodes' network, and nobody's boot server. */
const STRANGER = '10.77.0.9';
let rack: Rack;
let kept: Walk | undefined;
/** Of the container that the installation made. */
let sealed: string;

const boots = () => {
  const mac = rack.lab.nodes[0]?.mac ?? '';
  return rack.fleet((fleet) => fleet.machines.boots(mac));
};

/** How often the firmware did. */
const askedNetwork = async () =>
  (await boots()).filter(({ step }) => step === 'dhcp-offered' || step === 'left-to-disk').length;

rackFor(
  test,
  'rollout',
  [{ name: NODE, firmware: 'pxe' }],
  async (made) => {
    rack = made;
    kept = await walk(UPDATED);
    await rack.startServer();
  },
  { minutes: 30, gone: async () => kept?.end() },
);

test.serial('UEFI PXE over TFTP and signed iPXE: Secure Boot on, approved, healthy', async (t) => {
  await rack.lab.powerOn(NODE);
  await approve(rack, NODE);
  const { observed } = await rack.record(NODE);
  t.is(observed.secureBoot, 'on');
  t.true((await boots()).some((event) => event.step === 'loader-sent'));
});

/** The fleet orders it, with a good signature; the node asks what is released, and for which machines, and writes nothing. */
async function refusesWhatIsNotReleasedForIt(t: ExecutionContext): Promise<void> {
  const { manifest } = rack.image;
  const { id } = await rack.record(NODE);
  await release(manifest, { paths: rack.paths, machines: { ...ANY_MACHINE, firmware: ['bios'] } });
  await askInstall(rack, NODE);
  const refusals = () =>
    rack.fleet(async (fleet) =>
      (await fleet.audit.read()).filter(
        ({ node, reason }) => node === id && /must not run here/.test(reason),
      ),
    );
  while ((await refusals()).length === 0) await sleep(500);
  t.is((await rack.record(NODE)).installedAt, null);
  await release(manifest, { paths: rack.paths });
}

test.serial(
  'an approved node that is wanted installed runs from its own disk, and is a member without being approved again',
  async (t) => {
    const before = await rack.record(NODE);
    const asked = await askedNetwork();
    await refusesWhatIsNotReleasedForIt(t);
    const record = await installed(rack, NODE);
    t.is(record.observed.image, rack.image.version);
    t.is(await askedNetwork(), asked, 'the firmware was told to start from the disk, and asked no network');
    t.is(
      record.observed.pcrs?.['11'],
      rack.image.manifest.pcr11,
      'the disk started the image that was published',
    );
    t.is(record.id, before.id);
    t.is(record.name, NODE);
    t.not(record.identity.spkiDigest, before.identity.spkiDigest, 'new keys at every boot');
    t.not(record.identity.hostKey, before.identity.hostKey);
    const audit = await rack.fleet((fleet) => fleet.audit.read({ node: record.id, last: 200 }));
    t.is(audit.filter((entry) => entry.action === 'approve').length, 1, 'nobody was at the keyboard again');
    sealed = await stateUuid(rack, NODE);
    t.regex(sealed, /^[0-9a-f-]{36}$/, 'the state partition is a LUKS2 container');
  },
);

test.serial(
  'a good image: staged, started, confirmed by the node itself, and recorded as done',
  async (t) => {
    await publish(rack.paths, GOOD, 'probe');
    const id = await startRollout(rack, { image: GOOD, nodes: { all: true } });
    const { rollout, nodes } = await ended(rack, id);
    t.is(rollout.state, 'done', rollout.why);
    t.deepEqual(
      [...nodes.values()].map(({ state }) => state),
      ['done'],
    );
    t.is((await rack.record(NODE)).observed.image, GOOD);
    t.is(await stateUuid(rack, NODE), sealed, 'the newer release opened what the older one sealed');
    await kept?.keep(rack);
  },
);

test.serial(
  'root on the node changes neither system nor kernel, and only the boot server gets in',
  async (t) => {
    const [, told = ''] = (await rack.lab.consoleLog(NODE)).match(/probe: (\{.*\})/) ?? [];
    const probe = JSON.parse(told) as Record<string, string>;
    t.regex(probe.lockdown!, /\[confidentiality\]/);
    t.regex(probe.memory!, /^no: E(PERM|ACCES)/);
    t.regex(probe.unsigned!, /^no: .*(not permitted|rejected)/);
    t.is(probe.root, 'no: EROFS');
    t.is(probe.etc, 'no: EROFS');
    t.deepEqual([probe.kexec, probe.kptr, probe.bpf], ['1', '2', '1']);
    t.deepEqual(probe.logins, []);
    t.regex(probe.filter!, /hook input .*policy drop/);
    t.regex(probe.state!, /^\/dev\/mapper\/bootwave-state /);

    const { address } = (await rack.record(NODE)).observed;
    await rack.lab.inNamespace('ip', ['addr', 'add', `${STRANGER}/24`, 'dev', LAB_NETWORK.bridge]);
    t.regex(await greeting(address, LAB_NETWORK.address), /^SSH-2\.0-/);
    t.is(await greeting(address, STRANGER), 'no answer');
  },
);

/** What a node's sshd says to someone at this address. */
async function greeting(node: string, from: string): Promise<string> {
  const program = `
    const socket = require('node:net').connect({ host: '${node}', port: 22, localAddress: '${from}' });
    const end = (word) => { console.log(word); process.exit(0); };
    socket.on('data', (data) => end(String(data))).on('error', ({ code }) => end(code));
    setTimeout(() => end('no answer'), 5_000);`;
  return (await rack.lab.inNamespace(process.execPath, ['-e', program])).stdout.trim();
}
