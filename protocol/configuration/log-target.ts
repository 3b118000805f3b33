/** Where a node's journal is sent to, as one line of a file: written by root from the configuration, read by the forwarder. */

export type LogTarget = { protocol: 'tcp' | 'udp'; host: string; port: number };

export function targetLine({ protocol, host, port }: LogTarget): string {
  return `${protocol} ${host} ${port}\n`;
}

/** @returns null for anything that `targetLine` does not make */
export function readTarget(line: string): LogTarget | null {
  const match = /^(tcp|udp) ([0-9A-Za-z.:-]{1,253}) (\d{1,5})\n$/.exec(line);
  if (match === null) return null;
  const [, protocol, host, port] = match;
  return { protocol: protocol as LogTarget['protocol'], host: host!, port: Number(port) };
}
