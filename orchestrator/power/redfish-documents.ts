/** Redfish's JSON (DSP0266, DSP0268) as values, and what is sent. A BMC may leave out nearly everything, and does. */
import { z } from 'zod';
import type { FirmwareShown, Power, PowerAction } from './bmc.ts';

/** A place on the same BMC. It may neither name another host nor leave the path. */
const path = z
  .string()
  .max(512)
  .regex(/^\/(?!\/)[^\s\\]*$/);
const link = z.object({ '@odata.id': path });
const text = z.string().max(512).nullish().catch(null);
const names = z.array(z.string().max(128)).max(256).nullish().catch(null);
const action = z.object({ target: path }).loose();

export const rootSchema = z.object({ Systems: link });
export const collectionSchema = z.object({ Members: z.array(link).max(1024) });
export const systemSchema = z.object({
  '@odata.id': path,
  PowerState: z.string().max(32).nullish(),
  UUID: text,
  SerialNumber: text,
  Boot: z
    .object({
      BootSourceOverrideEnabled: text,
      BootSourceOverrideTarget: text,
      'BootSourceOverrideTarget@Redfish.AllowableValues': names,
      BootOrder: names,
      HttpBootUri: text,
      BootOptions: link.nullish().catch(null),
    })
    .nullish()
    .catch(null),
  SecureBoot: link.nullish().catch(null),
  SerialConsole: z
    .object({
      SSH: z
        .object({
          ServiceEnabled: z.boolean().nullish(),
          Port: z.int().min(1).max(65_535).nullish(),
          /** Typed into a command line: one line of it. */
          ConsoleEntryCommand: z
            .string()
            .max(128)
            .regex(/^[^\p{Cc}\p{Cs}]*$/u)
            .nullish(),
        })
        .nullish()
        .catch(null),
    })
    .nullish()
    .catch(null),
  Actions: z
    .object({ '#ComputerSystem.Reset': action.nullish().catch(null) })
    .nullish()
    .catch(null),
});
export type System = z.infer<typeof systemSchema>;

export const secureBootSchema = z.object({
  SecureBootEnable: z.boolean().nullish(),
  SecureBootMode: text,
  Actions: z
    .object({ '#SecureBoot.ResetKeys': action.nullish().catch(null) })
    .nullish()
    .catch(null),
});
export type SecureBoot = z.infer<typeof secureBootSchema>;

export const bootOptionSchema = z.object({ BootOptionReference: text, DisplayName: text, Id: text });

/** Where the serial console is, by SSH (DSP0268); null: there is none, or it is switched off. */
export function consoleOf({
  SerialConsole: offered,
}: System): { port: number; command: string | null } | null {
  const ssh = offered?.SSH;
  if (ssh == null || ssh.ServiceEnabled === false) return null;
  return { port: ssh.Port ?? 22, command: ssh.ConsoleEntryCommand || null };
}

/** While it changes, Redfish says what it changes to. */
export function powerOf({ PowerState: state }: System): Power | null {
  if (state === 'On' || state === 'PoweringOn') return 'on';
  return state === 'Off' || state === 'PoweringOff' ? 'off' : null;
}

const RESET: Record<PowerAction, readonly string[]> = {
  on: ['On', 'ForceOn'],
  off: ['ForceOff'],
  cycle: ['PowerCycle', 'FullPowerCycle'],
  reset: ['ForceRestart'],
};

/** Where a power action is posted, and as what; null: it does not offer it. One without a list is believed to have all. */
export function resetOf(system: System, wanted: PowerAction): { target: string; type: string } | null {
  const offered = system.Actions?.['#ComputerSystem.Reset'];
  if (offered == null) return null;
  const type = allowed(offered, 'ResetType', RESET[wanted]);
  return type === null ? null : { target: offered.target, type };
}

/** What an action takes for a parameter, if it says so. */
function allowed(
  offered: Record<string, unknown>,
  parameter: string,
  wanted: readonly string[],
): string | null {
  const list = offered[`${parameter}@Redfish.AllowableValues`];
  if (!Array.isArray(list)) return wanted[0] ?? null;
  return wanted.find((one) => list.includes(one)) ?? null;
}

/** The override for the next boot; null: it offers no boot from the network. */
export function networkOverride(system: System, firmware: 'uefi' | 'bios'): object | null {
  const offered = system.Boot?.['BootSourceOverrideTarget@Redfish.AllowableValues'];
  const target = offered == null ? 'Pxe' : ['Pxe', 'UefiHttp'].find((one) => offered.includes(one));
  if (target === undefined) return null;
  const mode = firmware === 'uefi' ? { BootSourceOverrideMode: 'UEFI' } : {};
  return { Boot: { BootSourceOverrideEnabled: 'Once', BootSourceOverrideTarget: target, ...mode } };
}

export function isNetworkNext({ Boot: boot }: System): boolean {
  return (
    boot?.BootSourceOverrideEnabled === 'Once' &&
    ['Pxe', 'UefiHttp'].includes(boot.BootSourceOverrideTarget ?? '')
  );
}

/** Where keys are taken out so that the machine is in setup mode (UEFI 2.10, 32.3), and how; null: not offered. */
export function setupOf(secureBoot: SecureBoot): { target: string; type: string } | null {
  const offered = secureBoot.Actions?.['#SecureBoot.ResetKeys'];
  if (offered == null) return null;
  // Without a PK the machine is in setup mode; the rest is overwritten when the image enrols its keys.
  const type = allowed(offered, 'ResetKeysType', ['DeletePK', 'DeleteAllKeys']);
  return type === null ? null : { target: offered.target, type };
}

export function shownFirmware(
  { Boot: boot }: System,
  secureBoot: SecureBoot | null,
  named: ReadonlyMap<string, string>,
): FirmwareShown {
  return {
    secureBoot:
      secureBoot === null
        ? null
        : {
            enabled: secureBoot.SecureBootEnable === true,
            mode: secureBoot.SecureBootMode ?? 'unknown',
            canSetUp: setupOf(secureBoot) !== null,
          },
    bootOrder: boot?.BootOrder?.map((reference) => ({ reference, name: named.get(reference) ?? '' })) ?? null,
    ...(boot?.HttpBootUri == null ? {} : { httpBootUri: boot.HttpBootUri }),
  };
}
