import { type Command, InvalidArgumentError, Option } from 'commander';
import { isVersion } from '../../image/build/version.ts';
import type { Policy, Site } from '../fleet/site.ts';
import { withFleet } from '../fleet/with-fleet.ts';
import { pathsOf, print, table } from './context.ts';
import { operator } from './operator.ts';

// commander takes every --no-... for the denial of an option, hence another word than the policy's.
type PolicyOptions = { json?: boolean; withoutTpm?: Policy['noTpm'] } & Omit<Partial<Policy>, 'noTpm'>;

export function register(program: Command): void {
  const site = program.command('site').description('sites and what they decided in advance');

  policyOptions(site.command('add <name>').description('make a site')).action(
    async (name: string, options: PolicyOptions, command: Command) => {
      const added = await withFleet(pathsOf(command), (fleet) =>
        fleet.sites.add(name, policyIn(options), operator()),
      );
      print(options.json, added, () => `made site ${name}\n${show(added)}`);
    },
  );

  policyOptions(site.command('set <name>').description('change what a site decided')).action(
    async (name: string, options: PolicyOptions, command: Command) => {
      const after = await withFleet(pathsOf(command), (fleet) =>
        fleet.sites.set(name, policyIn(options), operator()),
      );
      print(options.json, after, () => show(after));
    },
  );

  site
    .command('list')
    .description('all sites')
    .option('--json')
    .action(async (options: { json?: boolean }, command: Command) => {
      const sites = await withFleet(pathsOf(command), (fleet) => fleet.sites.list());
      print(options.json, sites, () =>
        table(
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
        ),
      );
    });

  site
    .command('show <name>')
    .description('one site')
    .option('--json')
    .action(async (name: string, options: { json?: boolean }, command: Command) => {
      const found = await withFleet(pathsOf(command), (fleet) => fleet.sites.get(name));
      print(options.json, found, () => show(found));
    });
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
    )
    .option('--json');
}

function floor(text: string): string {
  if (text !== '' && !isVersion(text)) throw new InvalidArgumentError('an image version');
  return text;
}

function yesNo(text: string): boolean {
  if (text === 'yes') return true;
  if (text === 'no') return false;
  throw new InvalidArgumentError('yes or no');
}

function policyIn({
  acceptUnknown,
  withoutTpm,
  bios,
  secureBoot,
  ekCertificate,
  attestation,
  firmware,
  image,
  floor,
}: PolicyOptions): Partial<Policy> {
  return {
    ...(acceptUnknown === undefined ? {} : { acceptUnknown }),
    ...(withoutTpm === undefined ? {} : { noTpm: withoutTpm }),
    ...(bios === undefined ? {} : { bios }),
    ...(secureBoot === undefined ? {} : { secureBoot }),
    ...(ekCertificate === undefined ? {} : { ekCertificate }),
    ...(attestation === undefined ? {} : { attestation }),
    ...(firmware === undefined ? {} : { firmware }),
    ...(image === undefined ? {} : { image }),
    ...(floor == null ? {} : { floor: floor === '' ? null : floor }),
  };
}

function show({ name, policy }: Site): string {
  const noTpm = {
    pending: 'approved again by a person after each restart',
    keep: 'stay approved after a restart',
    refuse: 'refused',
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
    `  oldest image that a rollout may bring: ${policy.floor ?? 'as for the whole fleet'}`,
  ].join('\n');
}
