import { Command } from 'commander';
import { register as audit } from '../../cli/audit/audit.ts';
import { register as ban } from '../../cli/fleet/ban.ts';
import { register as config } from '../../cli/fleet/config.ts';
import { register as firmware } from '../../cli/fleet/firmware.ts';
import { register as site } from '../../cli/fleet/site.ts';
import { register as image } from '../../cli/image/image.ts';
import { register as keys } from '../../cli/keys/keys.ts';
import { register as demo } from '../../cli/lab/demo.ts';
import { register as lab } from '../../cli/lab/lab.ts';
import { register as node } from '../../cli/node/node.ts';
import { register as breakGlass } from '../../cli/operator/break-glass.ts';
import { register as operators } from '../../cli/operator/operators.ts';
import { register as request } from '../../cli/operator/request.ts';
import { register as rollout } from '../../cli/rollout/rollout.ts';
import { register as team } from '../../cli/rollout/team.ts';
import { register as doctor } from '../../cli/server/doctor.ts';
import { register as signer } from '../../cli/server/signer.ts';
import { register as up } from '../../cli/server/up.ts';

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
