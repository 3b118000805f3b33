/**
 * The timers by which systemd itself begins and ends what is reserved, at its instant: neither the agent nor a server has to be there
 * then. Text only; no word of an order stands in it but numbers and names of units. Pure.
 */
import { instanceUnit } from '../../../../protocol/agent/units.ts';
import type { Extra } from '../../../../protocol/reservation.ts';

/** What an instance may take: percent of one processor, and bytes. */
export type Limits = Extra;

const SYSTEMCTL = '/usr/bin/systemctl';
const DATE = '/usr/bin/date';
const BEGINNING = 'bootwave-reserve-';

/** @param id as `instanceId` makes it @param at milliseconds since the epoch, of a whole second */
const changeUnit = (id: string, at: number): string => `${BEGINNING}${id}-${at / 1000}`;

/** @returns when it is due, milliseconds since the epoch; null: it is none of these units */
export function dueOf(file: string): number | null {
  const seconds = file.startsWith(BEGINNING) ? /-(\d{1,14})\.(?:timer|service)$/.exec(file)?.[1] : undefined;
  return seconds === undefined ? null : Number(seconds) * 1000;
}

export const setLimits = (id: string, { cpu, memory }: Limits): string[] => [
  ...['set-property', '--runtime', instanceUnit(id), `CPUQuota=${cpu}%`, `MemoryMax=${memory}`],
];

/** @param since as JSON: milliseconds since the epoch, or what becomes that. It is read as `Share` (protocol/reservation.ts) */
export const markText = ({ cpu, memory }: Limits, since: string): string =>
  `{"cpu":${cpu},"memory":${memory},"since":${since}}`;

/** @param mark the file that says what is in force since when @returns text by the name of the file */
export function changeTexts(id: string, at: number, limits: Limits, mark: string): Map<string, string> {
  const name = changeUnit(id, at);
  const what = `Description=Share of service ${id} from ${new Date(at).toISOString()}`;
  const timer = ['[Unit]', what, '', '[Timer]', `OnCalendar=@${at / 1000}`, 'AccuracySec=1ms', ''];
  const commands = [
    [SYSTEMCTL, ...setLimits(id, limits)].join(' '),
    // The only program of an image that writes a line: a format without any field is written as it stands.
    `${DATE} '+${markText(limits, '%s%3N')}'`,
  ];
  const service = [
    // One whose instance is gone by then fails, and is forgotten.
    ...['[Unit]', what, 'CollectMode=inactive-or-failed', ''],
    ...['[Service]', 'Type=oneshot', `StandardOutput=truncate:${mark}`],
    ...commands.map((one) => `ExecStart=${one.replaceAll('%', '%%')}`),
    '',
  ];
  return new Map([
    [`${name}.service`, service.join('\n')],
    [`${name}.timer`, timer.join('\n')],
  ]);
}
