import { Command } from 'commander';
import { register as audit } from './audit/audit.ts';
import { register as ban } from './fleet/ban.ts';
import { register as config } from './fleet/config.ts';
import { register as firmware } from './fleet/firmware.ts';
import { register as site } from './fleet/site.ts';
import { register as image } from './image/image.ts';
import { register as team } from './image/team.ts';
import { register as keys } from './keys/keys.ts';
import { register as demo } from './lab/demo.ts';
import { register as lab } from './lab/lab.ts';
import { register as node } from './node/node.ts';
import { register as breakGlass } from './operator/break-glass.ts';
import { register as operators } from './operator/operators.ts';
import { register as request } from './operator/request.ts';
import { register as rollout } from './rollout/rollout.ts';
import { register as doctor } from './server/doctor.ts';
import { register as signer } from './server/signer.ts';
import { register as up } from './server/up.ts';

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
    .option('--data <folder>', 'data directory (else BOOTWAVE_DATA, else /var/lib/bootwave)')
    .option('--as <file>', 'who you are: certificate and key in one file (else BOOTWAVE_OPERATOR)')
    .showHelpAfterError()
    .exitOverride();
  for (const register of groups) register(bootwave);
  return bootwave;
}
