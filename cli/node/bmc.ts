import { type Command, Option } from 'commander';
import { BootwaveError } from '../../base/error.ts';
import * as power from '../../orchestrator/operations/power/declared.ts';
import { saysYes } from '../confirm.ts';
import { harmless, print } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, dayOf, type Json } from '../option.ts';
import { secretOf } from '../secret.ts';
import { testText } from './bmc-text.ts';

type SetOptions = Json & {
  address: string;
  kind: 'ipmi' | 'redfish';
  user: string;
  passwordFile?: string;
  pin?: string;
  unproven?: true;
};
type FirmwareOptions = Json & { setupMode?: true; order?: string; httpUri?: string };

export function register(node: Command): void {
  const group = node.command('bmc').description('how the BMCs of nodes are reached, and whether they can be');

  commandFor(group, power.bmcSet, '<node>')
    .requiredOption('--address <ip>', 'IP address of the BMC, with :PORT where it is another one')
    .addOption(
      new Option('--kind <kind>', 'what it speaks').choices(['ipmi', 'redfish']).makeOptionMandatory(),
    )
    .requiredOption('--user <name>', 'an administrator of the BMC')
    .option('--password-file <file>', 'its first line is the password; else it is read from standard input')
    .option(
      '--pin <sha256>',
      'redfish: fingerprint of its certificate; without it, it is shown and you are asked',
    )
    .option('--unproven', 'believe me that it is the BMC of this node, whatever it says')
    .action(async (word: string, options: SetOptions, command: Command) => {
      const { json, passwordFile, unproven = false, ...given } = options;
      const password = await secretOf(passwordFile, `Password of ${given.user}`);
      const input = { node: word, ...given, password, unproven };
      const test = await call(command, power.bmcSet, input).catch(async (error: unknown) => {
        const pin = await pinAgreed(error);
        if (pin === null) throw error;
        return call(command, power.bmcSet, { ...input, pin });
      });
      print(json, test, () => [`the BMC of ${harmless(word)} is known`, ...testText(test)].join('\n'));
    });

  commandFor(group, power.bmcShow, '<node>').action(
    async (word: string, { json }: Json, command: Command) => {
      const shown = await call(command, power.bmcShow, { node: word });
      const { kind, host, port, user, pin, suite, unproven, by, at, test } = shown;
      print(json, shown, () =>
        [
          `${kind} at ${host} port ${port}, user ${user}`,
          ...(pin === null ? [] : [`certificate ${pin}`]),
          ...(suite === null ? [] : [`cipher suite ${suite}`]),
          `set by ${by}, ${dayOf(at)}${unproven ? '; nothing has proved that it belongs to this node' : ''}`,
          ...testText(test),
        ]
          .map(harmless)
          .join('\n'),
      );
    },
  );

  commandFor(group, power.bmcTest, '<node>').action(
    async (word: string, { json }: Json, command: Command) => {
      const test = await call(command, power.bmcTest, { node: word });
      print(json, test, () => testText(test).join('\n'));
      if (!test.ok) process.exitCode = 1;
    },
  );

  commandFor(group, power.bmcRemove, '<node>').action(
    async (word: string, { json }: Json, command: Command) => {
      const done = await call(command, power.bmcRemove, { node: word });
      print(json, done, () => (done.removed ? 'forgotten, its password with it' : 'it was not known'));
    },
  );

  commandFor(group, power.bmcFirmware, '<node>')
    .option('--setup-mode', "end Secure Boot's user mode: what boots next from the network enrols its keys")
    .option('--order <references>', 'all boot options in their new order, separated by commas')
    .option('--http-uri <uri>', 'what HTTP boot starts')
    .action(async (word: string, { json, setupMode, order, httpUri }: FirmwareOptions, command: Command) => {
      const input = { node: word, setupMode, order: order?.split(','), httpUri };
      const shown = await call(command, power.bmcFirmware, input);
      const { secureBoot, bootOrder, httpBootUri } = shown;
      print(json, shown, () =>
        [
          secureBoot === null
            ? 'Secure Boot: it does not say'
            : `Secure Boot: ${secureBoot.enabled ? 'on' : 'off'}, ${secureBoot.mode}`,
          ...(bootOrder ?? []).map(({ reference, name }, i) => `boot ${i + 1}: ${reference} ${name}`),
          ...(httpBootUri === undefined ? [] : [`HTTP boot from: ${httpBootUri || 'what DHCP says'}`]),
        ]
          .map(harmless)
          .join('\n'),
      );
    });
}

/** The fingerprint, if a person at the terminal has compared it; null: nobody was asked, or it is another error. */
async function pinAgreed(error: unknown): Promise<string | null> {
  if (!(error instanceof BootwaveError) || error.code !== 'BMC_PIN_MISSING' || !process.stdin.isTTY)
    return null;
  const pin = /--pin ([0-9A-F:]{95})$/.exec(error.next ?? '')?.[1];
  if (pin === undefined) return null;
  const question = `${error.what}\nDoes the page of the BMC itself show exactly this fingerprint?`;
  return (await saysYes(question)) ? pin : null;
}
