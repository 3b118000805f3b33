import { type Command, InvalidArgumentError, Option } from 'commander';
import { defined } from '../../base/defined.ts';
import { isVersion } from '../../formats/version.ts';
import type { Policy, SignalRule, Site } from '../../orchestrator/fleet/site.ts';
import * as site from '../../orchestrator/operations/site/declared.ts';
import { print, table } from '../context.ts';
import { call, callTwo } from '../operate.ts';
import { printAsked } from '../operator/request.ts';
import { commandFor, type Json } from '../option.ts';

// commander reads every --no-... as the negation of an option, so the option has another name than the policy.
type Rules = Record<string, SignalRule | null>;
type PolicyOptions = Json & { withoutTpm?: Policy['noTpm']; signal?: Rules } & Omit<
    Partial<Policy>,
    'noTpm' | 'signals'
  >;

export function register(group: Command): void {
  policyOptions(commandFor(group, site.add, '<name>')).action(
    async (name: string, options: PolicyOptions, command: Command) => {
      const added = await call(command, site.add, { name, policy: policyIn(options) });
      print(options.json, added, () => `made site ${name}\n${show(added)}`);
    },
  );

  policyOptions(commandFor(group, site.set, '<name>'))
    .addOption(
      new Option(
        '--recovery <what>',
        'what of a held machine is wiped with no person asked: nothing, our disks, all disks; takes two people',
      ).choices(['person', 'wipe', 'wipe-all']),
    )
    .action(async (name: string, options: PolicyOptions, command: Command) => {
      const asked = await callTwo(command, site.set, { name, policy: policyIn(options) });
      printAsked(options.json, asked, show);
    });

  commandFor(group, site.list).action(async ({ json }: Json, command: Command) => {
    const sites = await call(command, site.list, {});
    print(json, sites, () => listText(sites));
  });

  commandFor(group, site.show, '<name>').action(async (name: string, { json }: Json, command: Command) => {
    const found = await call(command, site.show, { name });
    print(json, found, () => show(found));
  });
}

function listText(sites: readonly Site[]): string {
  return table(
    [
      'SITE',
      'UNKNOWN MACHINES',
      'WITHOUT TPM',
      'BIOS',
      'SECURE BOOT',
      'EK CERTIFICATE',
      'ATTESTATION',
      'FIRMWARE',
    ],
    sites.map(({ name, policy }) => [
      name,
      policy.acceptUnknown ? 'may ask' : 'not answered',
      policy.noTpm,
      policy.bios,
      policy.secureBoot,
      policy.ekCertificate,
      policy.attestation,
      policy.firmware,
    ]),
  );
}

function policyOptions(command: Command): Command {
  return command
    .option('--accept-unknown <yes|no>', 'whether machines that nobody expected get the image', yesNo)
    .addOption(
      new Option('--without-tpm <what>', 'an approved machine without TPM that restarts').choices([
        'pending',
        'keep',
        'refuse',
      ]),
    )
    .addOption(new Option('--bios <what>', 'machines that boot by BIOS').choices(['allow', 'refuse']))
    .addOption(
      new Option('--secure-boot <what>', 'machines whose Secure Boot is not on').choices([
        'prefer',
        'require',
      ]),
    )
    .addOption(
      new Option('--ek-certificate <what>', 'machines whose TPM no known maker vouches for').choices([
        'optional',
        'required',
      ]),
    )
    .addOption(
      new Option(
        '--attestation <what>',
        'machines with a TPM that do not show the measurements of a published image',
      ).choices(['enforce', 'report']),
    )
    .addOption(
      new Option(
        '--automation <what>',
        'what follows from a signal with no person asked: nothing, repairs, or also that compromised nodes are fenced',
      ).choices(['off', 'repair', 'fence']),
    )
    .addOption(
      new Option(
        '--rescue <when>',
        'who takes a broken node into rescue that runs and that nothing has helped: a person, or the automation',
      ).choices(['person', 'ill']),
    )
    .addOption(
      new Option(
        '--evidence <what>',
        'what is collected with no person asked when a node is fenced or taken into rescue: nothing, what incident collect does, or also hashes of disks before a wipe',
      ).choices(['none', 'collect', 'disks']),
    )
    .addOption(
      new Option(
        '--traffic <what>',
        'a service that begins to send many times more than before: nothing, people are told, or it is also frozen there',
      ).choices(['off', 'tell', 'freeze']),
    )
    .option(
      '--signal <code=rule>',
      "another rule for a signal: off, MINUTES, or TIMES/MINUTES; 'usual' takes it back (bootwave incident signals)",
      signalRules,
    )
    .addOption(
      new Option('--firmware <what>', 'machines whose firmware is not known of their model').choices([
        'report',
        'enforce',
      ]),
    )
    .addOption(
      new Option('--image <what>', 'machines whose image is withdrawn or below a floor').choices([
        'enforce',
        'report',
      ]),
    )
    .option(
      '--floor <version>',
      'oldest image that a rollout may bring; empty: as for the whole fleet',
      floor,
    );
}

function floor(text: string): string {
  if (text !== '' && !isVersion(text)) throw new InvalidArgumentError('an image version');
  return text;
}

/** Given several times, each adds its rule; null: the usual one. */
function signalRules(text: string, before: Rules = {}): Rules {
  const [, code, rule = ''] = /^([a-z-]+)=(.+)$/.exec(text) ?? [];
  const [, times, minutes] = /^(?:(\d{1,2})\/)?(\d{1,5})$/.exec(rule) ?? [];
  if (code !== undefined && rule === 'usual') return { ...before, [code]: null };
  if (code !== undefined && rule === 'off') return { ...before, [code]: 'off' };
  if (code === undefined || minutes === undefined)
    throw new InvalidArgumentError('as in silent=off, silent=30 or boot-loop=6/120');
  const after = { minutes: Number(minutes), ...(times !== undefined && { times: Number(times) }) };
  return { ...before, [code]: after };
}

function yesNo(text: string): boolean {
  if (text === 'yes') return true;
  if (text === 'no') return false;
  throw new InvalidArgumentError('yes or no');
}

function policyIn({ json: _, withoutTpm: noTpm, signal: signals, floor, ...others }: PolicyOptions) {
  return defined({ ...others, noTpm, signals, floor: floor === '' ? null : (floor ?? undefined) });
}

function show({ name, policy }: Site): string {
  const noTpm = {
    pending: 'approved again by a person after each restart',
    keep: 'stay approved after a restart',
    refuse: 'refused',
  };
  const recovery = {
    person: 'a person decides whether they are wiped',
    wipe: 'disks that Bootwave installed are wiped, others are left alone',
    'wipe-all': 'all their disks are wiped',
  };
  const automation = {
    off: 'off; signals are only in the log of the server',
    repair: 'repairs broken nodes',
    fence: 'repairs broken nodes, and fences compromised ones',
  };
  const evidence = {
    none: 'collected when a person asks',
    collect: 'collected by itself',
    disks: 'collected by itself, with hashes of disks before they are wiped',
  };
  const traffic = {
    off: 'nothing follows',
    tell: 'people are told',
    freeze: 'people are told, and they are frozen there',
  };
  return [
    `site ${name}`,
    `  machines that nobody expected: ${policy.acceptUnknown ? 'get the image and may ask' : 'are not answered'}`,
    `  machines without TPM: ${noTpm[policy.noTpm]}`,
    `  BIOS machines: ${policy.bios === 'allow' ? 'allowed' : 'refused'}`,
    `  Secure Boot: ${policy.secureBoot === 'require' ? 'required' : 'preferred'}`,
    `  EK certificate of a known TPM maker: ${policy.ekCertificate}`,
    `  machines whose measurements are not a published image's: ${policy.attestation === 'enforce' ? 'refused' : 'let in, and shown'}`,
    `  machines whose firmware is not known of their model: ${policy.firmware === 'enforce' && policy.attestation === 'enforce' ? 'refused' : 'let in, and shown'}`,
    `  machines whose image is withdrawn or below a floor: ${policy.image === 'enforce' ? 'refused when they enrol or renew' : 'let in, and shown'}`,
    `  machines that are held: ${recovery[policy.recovery]}`,
    `  automation: ${automation[policy.automation]}`,
    `  broken nodes that run, and that nothing has helped: ${policy.rescue === 'ill' ? 'run no services until a person has looked (rescue)' : 'go on as they are until a person has looked'}`,
    `  evidence of nodes that are fenced or in rescue: ${evidence[policy.evidence]}`,
    `  services that begin to send many times more than before: ${traffic[policy.traffic]}`,
    ...Object.entries(policy.signals).map(([code, rule]) => `  signal ${code}: ${ruleText(rule)}`),
    `  oldest image that a rollout may bring: ${policy.floor ?? 'as for the whole fleet'}`,
  ].join('\n');
}

const ruleText = (rule: SignalRule): string =>
  rule === 'off'
    ? 'does not count'
    : `counts after ${rule.times === undefined ? '' : `${rule.times} times within `}${rule.minutes} min`;
