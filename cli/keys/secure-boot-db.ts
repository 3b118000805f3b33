import type { Command } from 'commander';
import type { DbStep } from '../../orchestrator/operations/keys/acts.ts';
import * as keys from '../../orchestrator/operations/keys/declared.ts';
import { print } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, type Json } from '../option.ts';

type Options = Json & { reason: string; force?: boolean; final?: boolean };

const FORCE = 'even if nodes cannot follow: they are to be enrolled anew';
const ROLL_OUT = 'next: bootwave image build --version NEWER, roll it out, then bootwave keys secure-boot';

/** The steps that replace the key that signs the fleet's images. */
export function register(noun: Command): void {
  commandFor(noun, keys.secureBootPrepare)
    .requiredOption('--reason <text>', 'why')
    .action(async ({ json, reason }: Options, command: Command) => {
      const done = await call(command, keys.secureBootPrepare, { reason, force: false });
      tell(json, done, `no node knows it yet; ${ROLL_OUT} activate`);
    });

  commandFor(noun, keys.secureBootActivate)
    .option('--force', FORCE)
    .requiredOption('--reason <text>', 'why')
    .action(async ({ json, reason, force = false }: Options, command: Command) => {
      const done = await call(command, keys.secureBootActivate, { reason, force });
      tell(json, done, `images built from now on are signed with it; ${ROLL_OUT} retire`);
    });

  commandFor(noun, keys.secureBootRetire)
    .option('--force', FORCE)
    .requiredOption('--reason <text>', 'why')
    .option('--final', 'when all nodes have lost it: whoever still shows it is a stranger')
    .action(async ({ json, reason, force = false, final = false }: Options, command: Command) => {
      const done = await call(command, keys.secureBootRetire, { reason, force, final });
      const next = final
        ? 'whoever still shows it is kept out where the site enforces attestation'
        : `nodes trust it until they get the next image; ${ROLL_OUT} retire --final`;
      tell(json, done, next);
    });
}

function tell(json: boolean | undefined, done: DbStep, next: string): void {
  print(
    json,
    done,
    () =>
      `db certificate ${done.id} is ${done.state}; the Secure Boot lists are at generation ${done.generation}\n${next}`,
  );
}
