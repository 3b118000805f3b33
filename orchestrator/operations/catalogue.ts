/** Everything that can be done with a fleet. */
import { refusal } from '../../base/error.ts';
import * as audit from './audit/declared.ts';
import * as backup from './backup/declared.ts';
import * as ban from './ban/declared.ts';
import * as bootserver from './bootserver/declared.ts';
import * as config from './config/declared.ts';
import * as drill from './drill/declared.ts';
import * as exec from './exec/declared.ts';
import * as expectation from './expectation/declared.ts';
import * as firmware from './firmware/declared.ts';
import * as flows from './flows/declared.ts';
import * as image from './image/declared.ts';
import * as incident from './incident/declared.ts';
import * as keys from './keys/declared.ts';
import * as log from './log/declared.ts';
import * as node from './node/declared.ts';
import type { Operation } from './operation.ts';
import * as operator from './operator/declared.ts';
import * as power from './power/declared.ts';
import * as profile from './profile/declared.ts';
import * as recovery from './recovery/declared.ts';
import * as request from './request/declared.ts';
import * as restraint from './restraint/declared.ts';
import * as rollout from './rollout/declared.ts';
import * as secret from './secret/declared.ts';
import * as server from './server/declared.ts';
import * as service from './service/declared.ts';
import * as site from './site/declared.ts';
import * as slice from './slice/declared.ts';
import * as team from './team/declared.ts';
import * as template from './template/declared.ts';
import * as usage from './usage/declared.ts';
import * as webhook from './webhook/declared.ts';

const NOUNS = [
  keys,
  operator,
  image,
  team,
  service,
  secret,
  server,
  bootserver,
  site,
  node,
  expectation,
  power,
  usage,
  log,
  flows,
  restraint,
  firmware,
  profile,
  incident,
  ban,
  recovery,
  webhook,
  drill,
  request,
  config,
  rollout,
  template,
  slice,
  exec,
  audit,
  backup,
];

/** In the order in which somebody new needs it. */
export const CATALOGUE: readonly Operation[] = NOUNS.flatMap((noun): Operation[] => Object.values(noun));

const byName = new Map(CATALOGUE.map((operation) => [operation.name, operation]));

/** @throws BootwaveError `OPERATION_UNKNOWN` */
export function find(name: string): Operation {
  const found = byName.get(name);
  if (found !== undefined) return found;
  throw refusal(
    'OPERATION_UNKNOWN',
    `there is no operation '${name.slice(0, 64)}'`,
    'server and command line should be of the same version',
  );
}
