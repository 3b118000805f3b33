import { Command, InvalidArgumentError } from 'commander';
import { register as audit } from './audit.ts';
import { register as ban } from './ban.ts';
import { register as breakGlass } from './break-glass.ts';
import { register as config } from './config.ts';
import { register as demo } from './demo.ts';
import { register as doctor } from './doctor.ts';
import { register as firmware } from './firmware.ts';
import { register as image } from './image.ts';
import { register as keys } from './keys.ts';
import { register as lab } from './lab.ts';
import { register as node } from './node.ts';
import { register as operators } from './operators.ts';
import { register as request } from './request.ts';
import { register as rollout } from './rollout.ts';
import { register as signer } from './signer.ts';
import { register as site } from './site.ts';
import { register as team } from './team.ts';
import { register as up } from './up.ts';

/** The feature list: one file per group of commands, in the order a new user needs them. */
const groups = [
  keys,
  operators,
  image,
  team,
  up,
  signer,
  site,
  node,
  firmware,
  ban,
  request,
  breakGlass,
  config,
  rollout,
  audit,
  doctor,
  lab,
  demo,
];

export function program(): Command {
  const bootwave = new Command('bootwave')
    .description('From power-on to a trusted, running member of a fleet')
    .option('--data <folder>', 'data directory (else BOOTWAVE_DATA, else /var/lib/bootwave)', once)
    .option('--as <file>', 'who you are: certificate and key in one file (else BOOTWAVE_OPERATOR)', once)
    .showHelpAfterError()
    .exitOverride();
  for (const register of groups) register(bootwave);
  return bootwave;
}

/** The last one would count: whoever may only add to a command line must not be somebody else by that. */
function once(value: string, before: string | undefined): string {
  if (before !== undefined) throw new InvalidArgumentError('it is given twice');
  return value;
}
