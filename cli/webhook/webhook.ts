import { type Command, Option } from 'commander';
import type { WebhookShown } from '../../orchestrator/operations/webhook/acts.ts';
import * as webhook from '../../orchestrator/operations/webhook/declared.ts';
import { readNamedFile } from '../../orchestrator/operators/behind-sudo.ts';
import { SEVERITIES } from '../../orchestrator/recovery/rules.ts';
import { SAYINGS, type Saying } from '../../protocol/webhook.ts';
import { ago } from '../ago.ts';
import { print, table } from '../context.ts';
import { call } from '../operate.ts';
import { collect, commandFor, type Json } from '../option.ts';

type Add = Json &
  Pick<WebhookShown, 'severity' | 'reason'> & { key: string; site: string[]; says?: Saying[] };

export function register(group: Command): void {
  commandFor(group, webhook.add, '<name>')
    .requiredOption('--key <file>', 'its public key: PEM, or whpk_...')
    .requiredOption('--site <site>', 'whose nodes it may speak of; may be given again', collect)
    .addOption(
      new Option('--severity <severity>', 'how much a report counts').choices(SEVERITIES).default('serious'),
    )
    .addOption(new Option('--says <words...>', 'what it may say').choices(SAYINGS))
    .requiredOption('--reason <text>', 'why; it is kept for ever')
    .action(async (name: string, { json, key, site, says, ...given }: Add, command: Command) => {
      const publicKey = (await readNamedFile(key)).toString('utf8');
      const input = { ...given, name, publicKey, sites: site, says: says ?? [...SAYINGS] };
      const { severity, reason } = input;
      const added = await call(command, webhook.add, {
        ...{ name, publicKey, severity, reason, sites: input.sites, says: input.says },
      });
      print(json, added, () => lineText(added));
    });

  commandFor(group, webhook.list).action(async ({ json }: Json, command: Command) => {
    const all = await call(command, webhook.list, {});
    print(json, all, () => (all.length === 0 ? 'no system outside may say anything' : listText(all)));
  });

  commandFor(group, webhook.remove, '<name>')
    .requiredOption('--reason <text>', 'why; it is kept for ever')
    .action(async (name: string, { json, reason }: Json & { reason: string }, command: Command) => {
      const removed = await call(command, webhook.remove, { name, reason });
      print(json, removed, () => `webhook ${name} is gone: nothing more of it is taken`);
    });
}

const lineText = ({ name, says, sites, severity, key }: WebhookShown): string =>
  `webhook ${name} may say ${says.join(', ')} of nodes at ${sites.join(', ')}, ${severity}\n  POST /webhooks/${name}, signed with the key of ${key}`;

const listText = (all: readonly WebhookShown[]): string =>
  table(
    ['WEBHOOK', 'SEVERITY', 'SITES', 'SAYS', 'BY', 'SINCE', 'WHY'],
    all.map(({ name, severity, sites, says, by, at, reason }) => [
      ...[name, severity, sites.join(', '), says.join(', '), by, ago(at, Date.now()), reason],
    ]),
  );
