/** Why the helper could not open a socket, as people read it. */
import { BootwaveError } from '../base/error.ts';
import { portOwner } from './sockets-owner.ts';

type Wanted = { name: string; protocol: 'udp' | 'tcp'; port: number };
/** What the helper says of the step that failed. */
type Report = { name?: string; step?: string; code?: string; error?: string };

export function failed(device: string, why: string): BootwaveError {
  return new BootwaveError({
    code: 'SOCKETS_FAILED',
    what: `the sockets on ${device} could not be opened: ${why}`,
    unchanged: UNCHANGED,
    next: `run 'bootwave doctor'`,
  });
}

const UNCHANGED = 'no port was left open';

/** @param words what the helper wrote on its standard error */
export async function refusal(
  device: string,
  wanted: Wanted | undefined,
  report: Report | undefined,
  words: string,
): Promise<BootwaveError> {
  if (report?.code === 'EADDRINUSE' && wanted !== undefined) {
    const owner = await portOwner(wanted.protocol, wanted.port);
    return new BootwaveError({
      code: 'PORT_IN_USE',
      what: `${wanted.protocol.toUpperCase()} port ${wanted.port} (${wanted.name}) on ${device} is in use${
        owner === undefined ? '' : ` by ${owner}`
      }`,
      unchanged: UNCHANGED,
      next: 'stop that program, or let it keep to other interfaces',
    });
  }
  if (report?.code === 'EPERM') {
    return new BootwaveError({
      code: 'NOT_ROOT',
      what: `binding ${wanted?.protocol.toUpperCase()} port ${wanted?.port} to ${device} needs root`,
      unchanged: UNCHANGED,
      next: 'run it as root',
    });
  }
  if (report?.code === 'ENODEV') {
    return new BootwaveError({
      code: 'INTERFACE_MISSING',
      what: `the network interface ${device} has gone`,
      unchanged: UNCHANGED,
      next: `choose one of those that 'ip -br addr' lists`,
    });
  }
  return failed(
    device,
    report === undefined ? words || 'the helper has ended' : `${report.name} ${report.step}: ${report.error}`,
  );
}
