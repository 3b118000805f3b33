/** What a person has to do for a node, where it stands, what was tried, and what to bring. Pure. */
import type { Incident } from '../fleet/decisions/incidents.ts';
import type { NodeRecord } from '../fleet/record.ts';
import { triedText } from './playbook.ts';
import { asksFor } from './signals.ts';

type Place = Pick<NodeRecord, 'name' | 'site' | 'rack' | 'inventory'>;

/** The first line is the task. @returns empty: nobody has to do anything now */
export function ticketOf(incident: Incident, node: Place | undefined, hasBmc: boolean): string[] {
  const task = taskOf(incident, hasBmc);
  if (task === null) return [];
  const tried = triedText(incident);
  return [
    task,
    ...(node === undefined ? [] : [whereOf(node), `machine: ${machineOf(node)}`]),
    `why: ${incident.reason}`,
    `seen: ${incident.evidence.slice(-3).join('; ')}`,
    `tried: ${tried === '' ? 'nothing' : tried}`,
    ...(incident.road === 'broken' || isButton(incident, hasBmc) ? [`bring: ${bringOf(incident)}`] : []),
  ];
}

const isButton = ({ step }: Incident, hasBmc: boolean): boolean => step === 'fenced' && !hasBmc;

function taskOf(incident: Incident, hasBmc: boolean): string | null {
  const { name, road, step, signal, site, reason, rescue } = incident;
  // The automation switches nothing here, and goes on by itself afterwards.
  if (isButton(incident, hasBmc))
    return `restart ${name} by its button, and have it start from the network (boot menu); it goes on by itself`;
  if (step !== 'person') return null;
  if (road === 'broken' && rescue != null)
    return `look at ${name}, which runs no services: bootwave incident access ${name} --reason WHY; then 'bootwave incident retry' or 'bootwave incident end'`;
  if (asksFor(incident))
    return `look at ${name}: a system outside suspects it. 'bootwave incident end ${name} --reason WHY' if nothing is wrong, 'bootwave node fence ${name} --reason WHY' if it is compromised`;
  if (signal === 'smart')
    return `change the disk of ${name} that is named below, when its services can do without it; this ends by itself when it has started again and is healthy`;
  if (road === 'broken')
    return `go to ${name}: it does not come back by itself; when it is healthy this ends by itself`;
  if (signal === 'cloned')
    return `find the second machine that has the TPM of ${name}; then lift the ban, retire ${name}, and expect it again`;
  if (/has not said that the automation may wipe|may be wiped/.test(reason))
    return `two people say that it may be wiped: bootwave site set ${site} --recovery wipe; then: bootwave incident retry ${name} --reason WHY`;
  return `look at ${name}: it is held. 'bootwave incident retry ${name} --reason WHY' tries again, 'bootwave node retire ${name}' puts it out`;
}

const whereOf = ({ site, rack }: Place): string =>
  `where: site ${site}, ${rack === null ? 'rack not known' : `rack ${rack}`}`;

function machineOf({ inventory: { manufacturer, product, serial, nics } }: Place): string {
  const mac = nics[0]?.mac;
  return `${manufacturer} ${product}, serial number ${serial || 'unknown'}${mac === undefined ? '' : `, MAC ${mac}`}`;
}

const bringOf = ({ road }: Incident): string =>
  road === 'broken'
    ? 'a screen and a keyboard, a network cable, a spare disk, a spare power supply'
    : 'a screen and a keyboard';
