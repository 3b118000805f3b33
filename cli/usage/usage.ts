/** What nodes and services use: `top` and `metrics` below their nouns. */
import { type Command, Option } from 'commander';
import * as usage from '../../orchestrator/operations/usage/declared.ts';
import { BY, type By } from '../../orchestrator/usage/by.ts';
import { print } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, type Json, whole } from '../option.ts';
import { instancesText, nodesText, restText, servicesText, slicesText, sliceText } from './text.ts';

type Asked = Json & { site?: string; by: By; most: number };

const topOf = (command: Command): Command =>
  command
    .option('--site <site>', 'of one site only')
    .addOption(new Option('--by <what>', 'the largest first').choices(BY).default('cpu'))
    .option('--most <lines>', 'lines at the most', whole(1, 20_000), 40);

export function nodeUsage(group: Command): void {
  topOf(commandFor(group, usage.nodeTop)).action(
    async ({ json, site, by, most }: Asked, command: Command) => {
      const found = await call(command, usage.nodeTop, { site, by, most });
      const { rows, nodes, now } = found;
      print(json, found, () =>
        nodes === 0
          ? 'no node belongs to the fleet there'
          : [nodesText(rows, now), ...restText(rows.length, nodes, found)].join('\n'),
      );
    },
  );

  commandFor(group, usage.nodeMetrics, '<node>').action(
    async (node: string, { json }: Json, command: Command) => {
      const found = await call(command, usage.nodeMetrics, { node });
      print(json, found, () => found.text.trimEnd());
    },
  );
}

export function sliceUsage(group: Command): void {
  topOf(commandFor(group, usage.sliceTop, '[name]')).action(
    async (name: string | undefined, { json, site, by, most }: Asked, command: Command) => {
      const found = await call(command, usage.sliceTop, { name, site, by, most });
      const { slices, instances } = found;
      print(json, found, () => {
        if (slices.length === 0) return 'no slices';
        if (name === undefined) return [slicesText(slices), ...restText(0, 0, found)].join('\n');
        const [{ wanted }] = slices as [(typeof slices)[0]];
        return [
          ...(wanted === 0 ? ['no order of its nodes names a service of it yet'] : [sliceText(instances)]),
          '',
          slicesText(slices),
          ...restText(instances.length, wanted, found),
        ].join('\n');
      });
    },
  );

  commandFor(group, usage.sliceMetrics, '<name>').action(
    async (name: string, { json }: Json, command: Command) => {
      const found = await call(command, usage.sliceMetrics, { name });
      print(json, found, () => found.text.trimEnd());
    },
  );
}

export function serviceUsage(group: Command): void {
  topOf(commandFor(group, usage.serviceTop, '[name]')).action(
    async (name: string | undefined, { json, site, by, most }: Asked, command: Command) => {
      const found = await call(command, usage.serviceTop, { name, site, by, most });
      const { services, instances } = found;
      print(json, found, () => {
        if (services.length === 0) return 'no order of a node names a service';
        if (name === undefined) return [servicesText(services), ...restText(0, 0, found)].join('\n');
        const [{ wanted }] = services as [(typeof services)[0]];
        return [
          instancesText(instances),
          '',
          servicesText(services),
          ...restText(instances.length, wanted, found),
        ].join('\n');
      });
    },
  );
}
