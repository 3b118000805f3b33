/**
 * The units of an instance, as text. No word of a manifest stands in them but numbers and one of four signals: commands
 * and variables are in files that only crun reads, so none can say anything to systemd. Pure.
 */
import { unitSlice } from '../../../../protocol/agent/units.ts';
import { verityOptions } from '../../../../protocol/service/bundle.ts';
import type { Manifest } from '../../../../protocol/service/manifest.ts';
import type { Place } from './place.ts';

const CRUN = '/usr/bin/crun --cgroup-manager=disabled';
const IP = '/usr/sbin/ip';
const NFT = '/usr/sbin/nft';
const TMPFILES = '/usr/bin/systemd-tmpfiles';

/** After so many starts within a minute it is left alone; the loop begins it again, later each time. */
const START_LIMIT = { seconds: 60, starts: 5 } as const;
/** Seconds before an instance that has ended is started again. */
const RESTART = 2;
/** Messages in half a minute, beyond which the journal drops an instance's. */
const LOG_LIMIT = { seconds: 30, messages: 1000 } as const;
/** What a health check, or a command of the owner, may take: it runs beside its instance, not within its limits. */
const BESIDE = { memory: 64 * 2 ** 20, tasks: 32 } as const;

/** Bundle's digest -> names of its device and of its unit. */
const deviceName = (sha256: string): string => `bootwave-${sha256.slice(0, 32)}`;
export const bundleUnit = (sha256: string): string => `bootwave-bundle-${sha256.slice(0, 32)}.service`;
/** @param id as `instanceId` makes it */
export const netUnit = (id: string): string => `bootwave-net-${id}.service`;
export const checkUnit = (id: string): string => `bootwave-check-${id}.service`;

/** Units whose failure is a service's, not the node's. */
export const isServiceUnit = (unit: string): boolean =>
  /^bootwave-(?:bundle|net|service|check|exec|reserve)-[\w.-]+\.service$/.test(unit);

export type BundleFacts = { sha256: string; rootHash: string; dataBytes: number };

/**
 * Opens a bundle with the root hash of the release's metadata, and mounts it: the kernel compares each block when it is
 * read, and gives an error for one that differs.
 */
export function bundleText({ sha256, rootHash, dataBytes }: BundleFacts, file: string, at: string): string {
  const device = deviceName(sha256);
  const verity = verityOptions(dataBytes);
  return text({
    Unit: [`Description=Bundle ${sha256}`],
    Service: [
      'Type=oneshot',
      'RemainAfterExit=yes',
      `ExecStart=/usr/sbin/veritysetup open ${verity.join(' ')} ${file} ${device} ${file} ${rootHash}`,
      `ExecStart=/usr/bin/mount -t squashfs -o ro,nosuid,nodev /dev/mapper/${device} ${at}`,
      // After a start that failed in the middle as well.
      `ExecStopPost=-/usr/bin/umount ${at}`,
      `ExecStopPost=-/usr/sbin/veritysetup close ${device}`,
    ],
  });
}

/**
 * @param folder of the instance: with instance.nft, connections.nft, freezer.conf, node-add.nft, node-remove.nft, node.ip, instance.ip
 * @param isRestrained by the order
 */
export function netText(id: string, place: Place, folder: string, isRestrained = false): string {
  const { interface: name } = place;
  return text({
    Unit: [
      `Description=Network of service ${id}`,
      'Requires=bootwave-filter.service',
      'After=bootwave-filter.service',
    ],
    Service: [
      'Type=oneshot',
      'RemainAfterExit=yes',
      // What an earlier start may have left.
      `ExecStartPre=-${IP} netns delete ${name}`,
      `ExecStart=${IP} netns add ${name}`,
      // The rules come before the first interface.
      `ExecStart=${IP} netns exec ${name} ${NFT} -f ${folder}/instance.nft`,
      `ExecStart=${IP} netns exec ${name} /usr/lib/systemd/systemd-sysctl /usr/lib/bootwave/service-sysctl.conf`,
      `ExecStart=${IP} -batch ${folder}/node.ip`,
      `ExecStart=${IP} -n ${name} -batch ${folder}/instance.ip`,
      // A kernel that cannot count connections is no reason to run no service; one that cannot throttle it is.
      `ExecStart=${isRestrained ? '' : '-'}${NFT} -f ${folder}/connections.nft`,
      `ExecStart=${NFT} -f ${folder}/node-add.nft`,
      // Frozen, throttled, or let go. The network first: it is what does harm.
      `ExecReload=${NFT} -f ${folder}/connections.nft`,
      `ExecReload=${TMPFILES} --create ${folder}/freezer.conf`,
      `ExecStopPost=-${NFT} -f ${folder}/node-remove.nft`,
      `ExecStopPost=-${NFT} delete table inet ${name}`,
      `ExecStopPost=-${IP} netns delete ${name}`,
    ],
  });
}

/**
 * @param folder of the instance, with config.json
 * @param disk a path on the disk whose use `limits.io` bounds; null: in memory
 * @param slice whose it is; null: the fleet's own
 */
export function instanceText(
  id: string,
  sha256: string,
  { limits, stop }: Manifest,
  folder: string,
  disk: string | null,
  slice: string | null = null,
): string {
  const needs = `${bundleUnit(sha256)} ${netUnit(id)}`;
  const { io } = limits;
  return text({
    Unit: [
      `Description=Service ${id}`,
      `Requires=${needs}`,
      `After=${needs}`,
      `StartLimitIntervalSec=${START_LIMIT.seconds}`,
      `StartLimitBurst=${START_LIMIT.starts}`,
    ],
    Service: [
      'Type=forking',
      `PIDFile=${folder}/pid`,
      `ExecStartPre=-${CRUN} delete --force ${id}`,
      `ExecStart=${CRUN} run --detach --pid-file ${folder}/pid --bundle ${folder} ${id}`,
      `ExecStopPost=-${CRUN} delete --force ${id}`,
      // The first process of a PID namespace ignores every signal that it does not handle: hence the limit.
      'KillMode=mixed',
      `KillSignal=${stop.signal}`,
      `TimeoutStopSec=${stop.timeout}`,
      'TimeoutStartSec=60',
      'Restart=always',
      `RestartSec=${RESTART}`,
      `Slice=${unitSlice(slice)}`,
      `MemoryMax=${limits.memory}`,
      'MemorySwapMax=0',
      `CPUQuota=${limits.cpu}%`,
      `TasksMax=${limits.tasks}`,
      // What it uses is counted also where a manifest bounds nothing of it.
      'IOAccounting=yes',
      'OOMPolicy=kill',
      'LimitNOFILE=1024:65536',
      'LimitCORE=0',
      ...(io === null || disk === null
        ? []
        : [`IOReadBandwidthMax=${disk} ${io.read}`, `IOWriteBandwidthMax=${disk} ${io.write}`]),
      'StandardInput=null',
      'StandardOutput=journal',
      'StandardError=journal',
      `SyslogIdentifier=service-${id}`,
      `LogRateLimitIntervalSec=${LOG_LIMIT.seconds}`,
      `LogRateLimitBurst=${LOG_LIMIT.messages}`,
    ],
  });
}

/** Runs the command of a health check inside, once; null where a manifest names none. @param folder with check.json */
export function checkText(
  id: string,
  { health, limits }: Manifest,
  folder: string,
  slice: string | null = null,
): string | null {
  if (health === null || health.check.kind !== 'exec') return null;
  return besideText(
    {
      description: `Health of service ${id}`,
      // What has failed says so to whoever started it, and is forgotten.
      unit: ['CollectMode=inactive-or-failed', 'StartLimitIntervalSec=0'],
      process: `${folder}/check.json`,
      seconds: health.timeout,
      streams: ['null', 'null', 'null'],
    },
    id,
    limits,
    slice,
  );
}

type Beside = {
  description: string;
  /** Lines of the section `[Unit]`. */
  unit: readonly string[];
  /** A file. */
  process: string;
  /** After these it is killed. */
  seconds: number;
  /** Standard input, output and error. */
  streams: readonly string[];
};

/** One more process inside an instance, once. @param slice whose the instance is; null: the fleet's own */
export function besideText(
  { description, unit, process, seconds, streams: [input, output, error] }: Beside,
  id: string,
  limits: { memory: number; cpu: number },
  slice: string | null,
): string {
  return text({
    Unit: [`Description=${description}`, ...unit],
    Service: [
      'Type=oneshot',
      `ExecStart=${CRUN} exec --process ${process} ${id}`,
      `TimeoutStartSec=${seconds}`,
      'KillSignal=SIGKILL',
      `Slice=${unitSlice(slice)}`,
      `MemoryMax=${Math.min(limits.memory, BESIDE.memory)}`,
      'MemorySwapMax=0',
      `CPUQuota=${limits.cpu}%`,
      `TasksMax=${BESIDE.tasks}`,
      `StandardInput=${input}`,
      `StandardOutput=${output}`,
      `StandardError=${error}`,
    ],
  });
}

function text(sections: Record<string, readonly string[]>): string {
  return Object.entries(sections)
    .map(([name, lines]) => `[${name}]\n${lines.join('\n')}\n`)
    .join('\n');
}
