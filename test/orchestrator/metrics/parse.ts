/** Text for Prometheus as others read it: Debian's python3-prometheus-client, under its strictest rules. */
import { spawn } from 'node:child_process';

export type Parsed = { name: string; labels: Record<string, string>; value: number; type: string };

const READER = `
import json, sys
from prometheus_client.parser import text_string_to_metric_families
seen = set()
for family in text_string_to_metric_families(sys.stdin.read()):
    for sample in family.samples:
        key = (sample.name, tuple(sorted(sample.labels.items())))
        if key in seen: raise ValueError('twice: %r' % (key,))
        seen.add(key)
        print(json.dumps({'name': sample.name, 'labels': sample.labels, 'value': sample.value, 'type': family.type}))
`;

/** @throws Error what the parser says of a text that it refuses */
export async function parse(text: string): Promise<Parsed[]> {
  // Debian's own: another python3 may stand before it in PATH.
  const child = spawn('/usr/bin/python3', ['-c', READER], { stdio: ['pipe', 'pipe', 'pipe'] });
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('close', resolve);
  });
  child.stdin.on('error', () => {});
  child.stdin.end(text);
  if ((await ended) !== 0) throw new Error(Buffer.concat(err).toString());
  return Buffer.concat(out)
    .toString()
    .split('\n')
    .filter((row) => row !== '')
    .map((row) => JSON.parse(row) as Parsed);
}
