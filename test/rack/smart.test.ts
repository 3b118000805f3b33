/** A disk that foretells that it fails, on a real node: QEMU's NVMe says so, smartctl reads it in the image, a person gets a ticket. */
import test from 'ava';
import { untilIncident } from '../support/incident.ts';
import type { Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { approveAndInstall } from '../support/rollout.ts';
import { shownBy } from '../support/services.ts';

const NODE = 'nvme';
const MINUTE = 60_000;
/** NVM Express Base 2.0, figure 208: bit 2, "the NVM subsystem reliability has been degraded". */
const DEGRADED = 1 << 2;

let rack: Rack;
rackFor(
  test,
  'smart',
  [{ name: NODE, firmware: 'http', disk: 'nvme' }],
  async (made) => {
    rack = made;
    await rack.startServer();
    await rack.lab.powerOn(NODE);
    await approveAndInstall(rack, NODE);
  },
  { minutes: 60 },
);

const shown = async () => (await rack.bootwave('node', 'show', NODE)).stdout;

async function warn(): Promise<void> {
  const place = '/machine/peripheral-anon';
  const devices = (await rack.lab.qmp(NODE, 'qom-list', { path: place })) as { name: string; type: string }[];
  const { name = '' } = devices.find(({ type }) => type === 'child<nvme>') ?? {};
  const property = 'smart_critical_warning';
  await rack.lab.qmp(NODE, 'qom-set', { path: `${place}/${name}`, property, value: DEGRADED });
}

test.serial(
  'a disk that is well is shown as well; one that fails goes to a person, and the node runs on',
  async (t) => {
    t.timeout(60 * MINUTE);
    t.regex(await shownBy(shown, /\bok nvme/, 5 * MINUTE), /\bok nvme/);
    await warn();
    await rack.bootwave('site', 'set', 'default', '--automation', 'repair', '--signal', 'smart=1');
    await rack.lab.reset(NODE);
    const says = await shownBy(shown, /FAILING/, 15 * MINUTE);
    t.log(says);
    t.regex(says, /FAILING.*it is not reliable any more/);
    const { id } = await rack.record(NODE);
    const incident = await untilIncident(rack, id, ({ step }) => step === 'person');
    t.is(incident.signal, 'smart');
    t.log((await rack.bootwave('incident', 'show', NODE)).stdout);
    t.is((await rack.record(NODE)).state, 'healthy');
  },
);
