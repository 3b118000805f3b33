import { Command, InvalidArgumentError } from 'commander';

type Noun = { name: string; description: string; load(): Promise<{ register(command: Command): void }> };

/** The feature list, in the order a new user needs it. Each is loaded only when it is named. */
const NOUNS: readonly Noun[] = [
  {
    name: 'keys',
    description: 'the keys and certificates of the fleet',
    load: () => import('./keys/keys.ts'),
  },
  {
    name: 'operator',
    description: 'people: their certificates and what they may do',
    load: () => import('./operator/operators.ts'),
  },
  {
    name: 'image',
    description: 'images: one signed file that a machine boots',
    load: () => import('./image/image.ts'),
  },
  {
    name: 'team',
    description: 'teams that release below a path of their own',
    load: () => import('./image/team.ts'),
  },
  {
    name: 'service',
    description: 'services: building blocks that nodes run, each version one signed file',
    load: () => import('./service/service.ts'),
  },
  {
    name: 'up',
    description: 'run everything on this machine: DHCP or proxyDHCP, TFTP, HTTP, enrolment, fleet records',
    load: () => import('./server/up.ts'),
  },
  {
    name: 'bootserver',
    description: `the configuration file of 'bootwave up --config'`,
    load: () => import('./server/bootserver.ts'),
  },
  {
    name: 'lease',
    description: 'addresses that the running DHCP server has given out',
    load: () => import('./server/lease.ts'),
  },
  {
    name: 'signer',
    description: 'signs orders, each checked against this disk; up starts it by itself where none runs',
    load: () => import('./server/signer.ts'),
  },
  {
    name: 'site',
    description: 'sites and what they decided in advance',
    load: () => import('./fleet/site.ts'),
  },
  { name: 'node', description: 'the machines of the fleet', load: () => import('./node/node.ts') },
  {
    name: 'firmware',
    description: 'the firmware that each model of machine may show',
    load: () => import('./fleet/firmware.ts'),
  },
  {
    name: 'profile',
    description: 'what the machines of a model are made of; one that falls short takes no new work',
    load: () => import('./fleet/profile.ts'),
  },
  {
    name: 'ban',
    description: 'put a node or a certificate out, within a second, everywhere',
    load: () => import('./fleet/ban.ts'),
  },
  {
    name: 'incident',
    description: 'nodes that are broken or compromised, and their way back',
    load: () => import('./incident/incident.ts'),
  },
  {
    name: 'recovery',
    description: 'where the automation stands still; recovery of many nodes',
    load: () => import('./recovery/recovery.ts'),
  },
  {
    name: 'webhook',
    description: 'systems outside that may say that a node is broken or suspected',
    load: () => import('./webhook/webhook.ts'),
  },
  {
    name: 'drill',
    description: 'whether recovery, rollback and restore still work: going each road before it is needed',
    load: () => import('./drill/drill.ts'),
  },
  {
    name: 'request',
    description: 'what one person asked for and a second one has to approve',
    load: () => import('./operator/request.ts'),
  },
  {
    name: 'break-glass',
    description:
      'ask to do some things that only admins may, when no admin can be reached; a second person approves it',
    load: () => import('./operator/break-glass.ts'),
  },
  {
    name: 'config',
    description: `node configurations: publish them; 'rollout' applies them`,
    load: () => import('./fleet/config.ts'),
  },
  {
    name: 'rollout',
    description: 'bring a version to the fleet, in waves',
    load: () => import('./rollout/rollout.ts'),
  },
  {
    name: 'slice',
    description: 'a share of many nodes for somebody, with an end',
    load: () => import('./slice/slice.ts'),
  },
  {
    name: 'audit',
    description: 'who did what to which node, and why',
    load: () => import('./audit/audit.ts'),
  },
  {
    name: 'metrics',
    description: "the fleet's numbers, and those of every node and service, as text for Prometheus",
    load: () => import('./usage/metrics.ts'),
  },
  {
    name: 'who',
    description: 'which service of a node has sent something, when, how much, and whose it is',
    load: () => import('./flows/who.ts'),
  },
  {
    name: 'doctor',
    description: 'check packages, keys, image, Redis, interface, ports and the wire; changes nothing',
    load: () => import('./server/doctor.ts'),
  },
  {
    name: 'backup',
    description:
      'everything that a fresh machine needs to go on, encrypted to a key that is not here; the server may run',
    load: () => import('./backup/backup.ts'),
  },
  {
    name: 'restore',
    description:
      'restore a backup into an empty data directory, so that a server goes on from it; says what the backup does not know',
    load: () => import('./backup/restore.ts'),
  },
  {
    name: 'lab',
    description: 'a rack in a box: virtual nodes on a network of their own',
    load: () => import('./lab/lab.ts'),
  },
  {
    name: 'demo',
    description: 'the main job from nothing, in a lab of three virtual machines; nothing is left behind',
    load: () => import('./lab/demo.ts'),
  },
];

/** Options of the program itself that take a value. */
const GLOBAL = ['--data', '--as', '--server', '--root'];

/**
 * The command line with the commands loaded that these words name; all others are known by name only.
 * @param words as typed, without node and the script; absent: all of it
 */
export async function program(words?: readonly string[]): Promise<Command> {
  const bootwave = new Command('bootwave')
    .description('From power-on to a trusted, running member of a fleet')
    .option('--data <folder>', 'data directory (else BOOTWAVE_DATA, else /var/lib/bootwave)', once)
    .option('--as <file>', 'who you are: certificate and key in one file (else BOOTWAVE_OPERATOR)', once)
    .option('--server <url>', 'a server elsewhere, https://HOST:PORT, with --as (else BOOTWAVE_SERVER)')
    .option('--root <file>', "that fleet's root certificate (else the one in the file of --as)")
    .hook('preAction', mindSudo)
    .showHelpAfterError('  next: the same with --help says what it takes')
    .exitOverride();
  const named = words === undefined ? null : nouns(words);
  for (const { name, description, load } of NOUNS) {
    const command = bootwave.command(name).description(description);
    if (named === null || named.includes(name)) (await load()).register(command);
  }
  return bootwave;
}

/** The first word, and the second for `help NOUN`. */
function nouns(words: readonly string[]): string[] {
  const found: string[] = [];
  for (let i = 0; i < words.length && found.length < 2; i += 1) {
    const word = words[i] ?? '';
    if (GLOBAL.includes(word)) i += 1;
    else if (!word.startsWith('-')) found.push(word);
  }
  return found[0] === 'help' ? found : found.slice(0, 1);
}

/** `node approve`: without the program itself, and never by an alias. */
export function pathOf(command: Command): string {
  const parent = command.parent;
  return parent === null ? '' : `${pathOf(parent)} ${command.name()}`.trim();
}

/** The last one would win: somebody who may only append to a command line must not become another operator by that. */
function once(value: string, before: string | undefined): string {
  if (before !== undefined) throw new InvalidArgumentError('it is given twice');
  return value;
}

/** @throws BootwaveError `OPERATOR_SUDO` */
async function mindSudo(_: Command, command: Command): Promise<void> {
  if (process.env.BOOTWAVE_BEHIND_SUDO !== '1') return;
  const { refusedBehindSudo } = await import('../orchestrator/operators/behind-sudo.ts');
  const name = pathOf(command);
  const { CATALOGUE } = await import('../orchestrator/operations/catalogue.ts');
  const declared = CATALOGUE.find((operation) => operation.name === name);
  const given = Object.keys(command.optsWithGlobals());
  const options = given.filter((one) => command.getOptionValueSourceWithGlobals(one) === 'cli');
  // Commands without a declaration are not about the fleet: lab and demo.
  const isForAnyone = declared === undefined ? !/^node watch$/.test(name) : declared.who === 'anyone';
  const refused = refusedBehindSudo({ command: name, isForAnyone, options, args: command.args.length });
  if (refused !== null) throw refused;
}
