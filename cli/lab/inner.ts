import { resolve } from 'node:path';
import type { Command } from 'commander';
import { claimInner } from '../../lab/inner/claim.ts';
import { runInner } from '../../lab/inner/inner.ts';
import { pathsOf, print } from '../context.ts';
import { newOperatorFile } from '../operator/new-file.ts';
import { type Json, untilStopped, whole } from '../option.ts';
import { type NodesOptions, named, withNodes } from './sim.ts';

type Options = Json & NodesOptions & { operatorsPort: number; healthPort: number };

const PORTS = { operators: 7444, health: 7445 } as const;

export function registerInner(lab: Command): void {
  const port = whole(1, 65_535);

  lab
    .command('claim <host>')
    .description(
      'become the admin of the fleet inside the service bootwave on that node: the first who asks is',
    )
    .option('--out <file>', 'a new file with your key', 'inner.pem')
    .option('--health-port <port>', 'as the service has it', port, PORTS.health)
    .option('--json')
    .action(async (host: string, { out, healthPort, json }: Json & { out: string; healthPort: number }) => {
      const file = resolve(out);
      await newOperatorFile(file, async (key) => ({ chain: await claimInner(host, healthPort, key) }));
      print(
        json,
        { file },
        () => `${file} is your key
use: bootwave --server https://${host}:${PORTS.operators} --as ${file}`,
      );
    });

  withNodes(
    lab
      .command('inner')
      .description('a server and simulated nodes, as the service bootwave runs them; needs --data'),
    12,
  )
    .option('--operators-port <port>', 'commands of people, by their certificates', port, PORTS.operators)
    .option(
      '--health-port <port>',
      'whether it is well, for its node; a certificate, for the first who asks',
      port,
      PORTS.health,
    )
    .option('--json')
    .action(async ({ site: sites, json, ...options }: Options, command: Command) => {
      const paths = pathsOf(named(command));
      await runInner(paths, { ...options, sites }, untilStopped(), () =>
        print(
          json,
          { ready: { nodes: options.nodes, sites } },
          () => `the inner fleet is up: ${options.nodes} simulated nodes (${sites.join(', ')})`,
        ),
      );
    });
}
