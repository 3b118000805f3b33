/**
 * The kernel parameters that a configuration may set, each with the values that it may have. The list is closed: what
 * weakens a machine's security (kptr_restrict, rp_filter, ip_forward, syncookies, core_pattern, modprobe) or can cost
 * it its network or its memory for good is not in it, and neither is what the image itself sets (50-bootwave.conf).
 * Meanings: Documentation/admin-guide/sysctl/ of Linux 6.1.
 */
export type SysctlRule =
  | { kind: 'number'; min: number; max: number }
  /** Exactly `count` numbers, none smaller than the one before it. */
  | { kind: 'numbers'; count: number; min: number; max: number }
  | { kind: 'word'; words: readonly string[] };

const number = (min: number, max: number): SysctlRule => ({ kind: 'number', min, max });
const MIB = 1024 * 1024;

export const SYSCTLS: Readonly<Record<string, SysctlRule>> = {
  // Queues and buffers. Bytes where it is about memory.
  'net.core.somaxconn': number(128, 65_535),
  'net.core.netdev_max_backlog': number(100, 1_000_000),
  'net.core.netdev_budget': number(100, 10_000),
  'net.core.netdev_budget_usecs': number(1_000, 100_000),
  'net.core.optmem_max': number(4_096, MIB),
  'net.core.rmem_default': number(65_536, 256 * MIB),
  'net.core.rmem_max': number(65_536, 256 * MIB),
  'net.core.wmem_default': number(65_536, 256 * MIB),
  'net.core.wmem_max': number(65_536, 256 * MIB),
  'net.ipv4.tcp_rmem': { kind: 'numbers', count: 3, min: 4_096, max: 256 * MIB },
  'net.ipv4.tcp_wmem': { kind: 'numbers', count: 3, min: 4_096, max: 256 * MIB },
  'net.ipv4.tcp_max_syn_backlog': number(128, 262_144),
  'net.ipv4.tcp_max_tw_buckets': number(1_024, 2_097_152),
  'net.ipv4.tcp_notsent_lowat': number(16_384, 2 ** 31 - 1),
  // The image holds these three (image/build/modules.ts).
  'net.ipv4.tcp_congestion_control': { kind: 'word', words: ['cubic', 'reno', 'bbr'] },
  'net.ipv4.tcp_ecn': number(0, 2),
  'net.ipv4.tcp_fastopen': number(0, 3),
  'net.ipv4.tcp_mtu_probing': number(0, 2),
  'net.ipv4.tcp_slow_start_after_idle': number(0, 1),
  'net.ipv4.tcp_tw_reuse': number(0, 2),
  // Seconds, and numbers of tries.
  'net.ipv4.tcp_fin_timeout': number(5, 120),
  'net.ipv4.tcp_keepalive_time': number(30, 7_200),
  'net.ipv4.tcp_keepalive_intvl': number(5, 120),
  'net.ipv4.tcp_keepalive_probes': number(3, 20),
  'net.ipv4.tcp_retries2': number(8, 15),
  'net.ipv4.tcp_syn_retries': number(3, 10),
  // Memory. Not 2 for overcommit: the agent's own runtime reserves more than it uses.
  'vm.overcommit_memory': number(0, 1),
  'vm.swappiness': number(0, 200),
  'vm.vfs_cache_pressure': number(10, 1_000),
  'vm.dirty_ratio': number(5, 80),
  'vm.dirty_background_ratio': number(1, 50),
  'vm.dirty_expire_centisecs': number(100, 60_000),
  'vm.dirty_writeback_centisecs': number(100, 60_000),
  'vm.max_map_count': number(65_530, 16_777_216),
  'vm.min_free_kbytes': number(8_192, 262_144),
  'kernel.pid_max': number(32_768, 4_194_304),
  'kernel.hung_task_timeout_secs': number(30, 3_600),
  'kernel.watchdog_thresh': number(5, 60),
};

export type SysctlValue = number | string | readonly number[];

/** @returns why this cannot be set, or null; a name that is not in the list cannot be set at all */
export function sysctlRefusal(key: string, value: SysctlValue): string | null {
  const rule = Object.hasOwn(SYSCTLS, key) ? SYSCTLS[key] : undefined;
  if (rule === undefined) return 'is not one of the parameters that a configuration may set';
  if (rule.kind === 'word') {
    return typeof value === 'string' && rule.words.includes(value)
      ? null
      : `must be one of ${rule.words.join(', ')}`;
  }
  const { min, max } = rule;
  const fits = (n: unknown) => typeof n === 'number' && Number.isInteger(n) && n >= min && n <= max;
  if (rule.kind === 'number') return fits(value) ? null : `must be a whole number from ${min} to ${max}`;
  const rising =
    Array.isArray(value) &&
    value.length === rule.count &&
    value.every((n, i) => fits(n) && (i === 0 || n >= value[i - 1]));
  return rising
    ? null
    : `must be ${rule.count} whole numbers from ${min} to ${max}, none below the one before it`;
}

/** As the kernel takes it and, apart from white space, gives it back. */
export function sysctlText(value: SysctlValue): string {
  return Array.isArray(value) ? value.join(' ') : String(value);
}
