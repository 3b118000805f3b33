/**
 * The boot server's configuration file, for what flags are too short for: subnets behind relays, reservations,
 * options per subnet, class and host, several interfaces.
 *
 * YAML 1.2 and not TOML: networks nest (interface, subnet, reservation), which TOML spells as headings that repeat
 * their parents; site admins know the form from netplan; and its parser knows where each value stands, so that a
 * semantic error ("the router is outside of the subnet") names its line, as a syntax error does.
 */
import { readFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { isMap, isNode, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { parseDuration } from '../base/duration.ts';
import { BootwaveError, messageOf } from '../base/error.ts';
import { plainIssue } from '../base/plain-issue.ts';
import { formatIp4, maskOf } from '../formats/dhcp/ip4.ts';
import { formatIp6, parseIp6 } from '../formats/dhcp6/ip6.ts';
import type { DhcpInput } from './dhcp/input.ts';
import { configProblems } from './dhcp/problems.ts';
import { networkOf } from './dhcp/settings.ts';
import { prefixProblems } from './dhcp6/config.ts';
import { INTERFACE_NAME } from './interface.ts';
import type { Ipv6Spec } from './sockets.ts';

export type InterfaceConfig = {
  interface: string;
  /** Which of its addresses, when it has several. */
  address: string | undefined;
  dhcp: Pick<DhcpInput, 'proxy' | 'settings' | 'subnets' | 'hosts' | 'classes'>;
  /** UEFI HTTP Boot over IPv6; undefined: it is not served. */
  ipv6: Ipv6Spec | undefined;
};

/** One thing that is wrong; `line` and `column` count from 1. */
export type FileProblem = { line: number; column: number; field: string; what: string; next?: string };

/** Bytes; ten thousand reservations fit. */
const LARGEST = 4 << 20;

const address = z.string();
const settings = {
  router: address.optional(),
  dns: z.array(address).optional(),
  domain: z.string().optional(),
  ntp: z.array(address).optional(),
  search: z.array(z.string()).optional(),
  mtu: z.int().optional(),
  routes: z.array(z.strictObject({ to: z.string(), via: address })).optional(),
  lease: z
    .string()
    .refine((text) => parseDuration(text) !== null, 'a time such as 30m, 12h or 7d is needed')
    .optional(),
};
const host = z.strictObject({
  ...settings,
  mac: z.string().transform((text) => text.toLowerCase().replaceAll('-', ':')),
  address: address.optional(),
  name: z.string().optional(),
});
const subnet = z.strictObject({
  ...settings,
  network: z.string().refine((text) => networkOf(text) !== undefined, 'write it as 10.0.0.0/24'),
  pools: z.array(z.string().regex(/^[\d.]+-[\d.]+$/, 'write it as 10.0.0.100-10.0.0.200')).default([]),
  relays: z.array(address).optional(),
});
const group = z.strictObject({
  ...settings,
  'vendor-class': z.string().optional(),
  'user-class': z.string().optional(),
  architecture: z.string().optional(),
});
const ipv6 = z.strictObject({
  address: z
    .string()
    .refine((text) => isIPv6(text) && !text.includes('%'), 'write it as fd00:77::1')
    // As the kernel writes it.
    .transform((text) => formatIp6(parseIp6(text)))
    .optional(),
  prefixes: z.array(z.string()).default([]),
});
const served = z.strictObject({
  ...settings,
  address: address.optional(),
  proxy: z.boolean().default(false),
  subnets: z.array(subnet).default([]),
  hosts: z.array(host).default([]),
  classes: z.array(group).default([]),
  ipv6: ipv6.optional(),
});
const file = z.strictObject({
  interfaces: z
    .record(z.string().regex(INTERFACE_NAME, 'not the name of an interface'), served)
    .refine((all) => Object.keys(all).length > 0, 'name at least one interface'),
});

type Path = readonly (string | number)[];

/** Pure. @returns the configuration, or everything that is wrong with it, in the order of the lines */
export function parseConfigFile(
  text: string,
): { interfaces: InterfaceConfig[] } | { problems: FileProblem[] } {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const spelling = [...document.errors, ...document.warnings];
  if (spelling.length > 0) {
    return { problems: spelling.map(({ pos, message }) => ({ ...at(pos[0]), field: '', what: message })) };
  }
  /** Where the field is, or the nearest existing thing around it. */
  const place = (path: Path) => {
    for (let length = path.length; length > 0; length -= 1) {
      const parent = document.getIn(path.slice(0, length - 1), true);
      const key = path[length - 1];
      const pair = isMap(parent)
        ? parent.items.find((item) => String(isNode(item.key) ? item.key.toJSON() : item.key) === String(key))
        : undefined;
      const node = pair?.key ?? document.getIn(path.slice(0, length), true);
      if (isNode(node) && node.range != null) return at(node.range[0]);
    }
    return { line: 1, column: 1 };
  };
  const problem = (path: Path, what: string, next?: string): FileProblem => ({
    ...place(path),
    field: fieldName(path),
    what,
    ...(next === undefined ? {} : { next }),
  });
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    return { problems: [{ line: 1, column: 1, field: '', what: messageOf(error) }] };
  }
  const parsed = file.safeParse(value);
  if (!parsed.success) {
    const problems = parsed.error.issues.flatMap((issue) => {
      const path = issue.path as Path;
      if (issue.code !== 'unrecognized_keys') return [problem(path, plainIssue(issue, 'docs/network.md'))];
      return issue.keys.map((key) => problem([...path, key], 'there is no such field'));
    });
    return { problems: problems.toSorted((a, b) => a.line - b.line) };
  }
  const interfaces = Object.entries(parsed.data.interfaces).map(([name, one]) => interfaceConfig(name, one));
  const problems = interfaces.flatMap(({ interface: name, address, dhcp, ipv6 }) => {
    // Until the interface has been read, any address of its first subnet is used in place of its own.
    const serverIp = address ?? STAND_IN;
    const found = [
      ...configProblems({ ...dhcp, serverIp, httpPort: 1, httpsPort: 1 }),
      ...prefixProblems(ipv6?.prefixes ?? []),
    ];
    return found.map(({ path, what, next }) => problem(['interfaces', name, ...path], what, next));
  });
  if (problems.length > 0) return { problems: problems.toSorted((a, b) => a.line - b.line) };
  return { interfaces };
}

/** TEST-NET-1 (RFC 5737): nobody's subnet. */
const STAND_IN = '192.0.2.1';

function interfaceConfig(name: string, one: z.infer<typeof served>): InterfaceConfig {
  const { address: own, proxy, subnets, hosts, classes, ipv6, ...rest } = one;
  return {
    interface: name,
    address: own,
    ipv6,
    dhcp: {
      proxy,
      settings: settingsOf(rest),
      subnets: subnets.map(({ network, pools, relays, ...more }) => {
        const { length, network: start } = networkOf(network)!;
        return {
          ...settingsOf(more),
          network: formatIp4(start),
          netmask: formatIp4(maskOf(length)),
          pools: pools.map((pool) => {
            const [from = '', to = ''] = pool.split('-');
            return { from, to };
          }),
          relays,
        };
      }),
      hosts: hosts.map(({ mac, address: reserved, name: hostName, ...more }) => ({
        ...settingsOf(more),
        mac,
        address: reserved,
        name: hostName,
      })),
      classes: classes.map(
        ({ 'vendor-class': vendorClass, 'user-class': userClass, architecture, ...more }) => ({
          ...settingsOf(more),
          vendorClass,
          userClass,
          architecture,
        }),
      ),
    },
  };
}

function settingsOf({ lease, ...rest }: z.infer<z.ZodObject<typeof settings>>) {
  return {
    ...rest,
    leaseSeconds: lease === undefined ? undefined : Math.floor(parseDuration(lease)! / 1000),
  };
}

function fieldName(path: Path): string {
  return path
    .map((part, i) => (typeof part === 'number' ? `[${part}]` : i === 0 ? part : `.${part}`))
    .join('');
}

/** @throws BootwaveError `BOOTSERVER_CONFIG` with every line that is wrong, `BOOTSERVER_CONFIG_FILE` */
export async function readConfigFile(path: string): Promise<InterfaceConfig[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
    if (text.length > LARGEST) throw new Error(`it is larger than ${LARGEST} bytes`);
  } catch (cause) {
    throw new BootwaveError({
      code: 'BOOTSERVER_CONFIG_FILE',
      what: `${path} cannot be read: ${messageOf(cause)}`,
      unchanged: 'nothing was started or changed',
      cause,
    });
  }
  const read = parseConfigFile(text);
  if (!('problems' in read)) return read.interfaces;
  throw new BootwaveError({
    code: 'BOOTSERVER_CONFIG',
    what: read.problems.map((one) => describe(path, one)).join('\n'),
    unchanged: 'nothing was started or changed',
    next: `correct it, then try 'bootwave bootserver check ${path}'`,
  });
}

function describe(path: string, { line, column, field, what, next }: FileProblem): string {
  const where = field === '' ? '' : ` ${field}:`;
  return `${path}:${line}:${column}:${where} ${what}${next === undefined ? '' : ` (${next})`}`;
}
