/** What the disks that Bootwave installed foretell of themselves. Reads only. */
import { readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../../../base/error.ts';
import { flat } from '../../../../base/line.ts';
import { run } from '../../../../base/run.ts';
import { type Smart, smartIn } from '../../../../formats/smart.ts';
import type { SmartResults } from '../../../../protocol/agent/smart.ts';
import { MOST_SMART } from '../../../../protocol/enrolment/heartbeat.ts';
import type { InstalledPlaces } from './installed.ts';
import { contentOf, type DiskFacts } from './layout.ts';

type SmartPlaces = Pick<InstalledPlaces, 'readDisks'> & {
  smartctl: string;
  /** Mount point of sysfs. */
  sys: string;
};

/** Milliseconds of each disk. A unit has time for MOST_SMART of them, one after the other. */
const PATIENCE = 25_000;
/** Characters of an answer. Of a longer one the beginning is lost, and it is not understood. */
const MOST = 256 * 1024;

export const SMART_OPERATIONS = {
  async 'disk-smart'(_: unknown, places: SmartPlaces): Promise<SmartResults['disk-smart']> {
    const disks = await places.readDisks({ patience: PATIENCE });
    const ours = disks.filter((disk) => contentOf(disk) === 'ours').slice(0, MOST_SMART);
    const told: SmartResults['disk-smart']['disks'] = [];
    for (const disk of ours)
      told.push({ disk: await shown(disk, places.sys), ...(await asked(disk, places.smartctl)) });
    return { disks: told };
  },
};

/** Its exit code says much besides (smartctl(8)); what was read stands in the answer. */
async function asked({ path }: DiskFacts, smartctl: string): Promise<Smart> {
  try {
    const options = { timeout: PATIENCE, keep: MOST, env: { ...process.env, LC_ALL: 'C' } };
    return smartIn((await run(smartctl, ['--json=c', '-i', '-H', '-A', path], options)).stdout);
  } catch (error) {
    return { failing: null, why: flat(`smartctl did not run: ${messageOf(error)}`, 256) };
  }
}

async function shown({ name, model, wwn, serial }: DiskFacts, sys: string): Promise<string> {
  const parts = [
    ...(wwn === '' ? [] : [`WWN ${wwn}`]),
    ...(serial === '' ? [] : [`serial number ${serial}`]),
    ...(model === '' ? [] : [model]),
    ...(await placeOf(name, sys)),
  ];
  return flat(`${name}: ${parts.join(', ')}`, 256);
}

/** The slot of an enclosure that says which one it is (SES), and the device that the disk is behind. */
async function placeOf(name: string, sys: string): Promise<string[]> {
  const device = await realpath(join(sys, 'block', name, 'device')).catch(() => '');
  const slot = (await readdir(device).catch(() => [])).find((file) => file.startsWith('enclosure_device:'));
  const behind = [...device.matchAll(/\/([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]|ata\d+)(?=\/)/g)];
  return [
    ...(slot === undefined ? [] : [`slot ${slot.slice('enclosure_device:'.length)}`]),
    ...(behind.length === 0
      ? []
      : [
          `at ${behind
            .slice(-2)
            .map(([, part]) => part)
            .join(' ')}`,
        ]),
  ];
}
