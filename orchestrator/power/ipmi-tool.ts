/** How `ipmitool` is called, and why a call failed. */
import type { BootwaveError } from '../../base/error.ts';
import { type Access, badAnswer, badLogin, bmcError, refused, silent } from './bmc.ts';
import { failureIn, wordsIn } from './ipmi-output.ts';

/** The password is here, where other users cannot read it. */
export const environmentOf = (password: string) => ({
  PATH: process.env.PATH ?? '',
  IPMI_PASSWORD: password,
});

export const toolMissing = (cause: unknown) =>
  bmcError('BMC_TOOL', 'the program ipmitool is not installed', "run 'make setup'", cause);

/** Why a call failed, by what it printed. */
export function failureOf(
  host: string,
  args: readonly string[],
  { code, text }: { code: number; text: string },
): BootwaveError {
  const why = failureIn(text);
  if (why === 'login') return badLogin(host);
  if (why === 'silent' || code === 128) return silent(host);
  if (why === 'refused') return refused(host, `${args.join(' ')}: ${wordsIn(text)}`);
  return badAnswer(host, `gave no answer to ${args.join(' ')}: ${wordsIn(text) || `exit code ${code}`}`);
}

/**
 * Pure. `-R 1`: it is asked once, because dead ones are many when it matters; `-v` says why it failed; `-E` reads the password
 * from the environment.
 * @param wait seconds for each packet
 */
export function argumentsOf(
  { host, port, user }: Access,
  { suite, wait }: { suite: number; wait: number },
): string[] {
  return [
    ...['-I', 'lanplus', '-C', String(suite), '-N', String(wait), '-R', '1', '-v'],
    ...['-H', host, '-p', String(port), '-U', user, '-E'],
  ];
}
