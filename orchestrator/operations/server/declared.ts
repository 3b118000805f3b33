import { z } from 'zod';
import type { Check } from '../../doctor/check.ts';
import { LONGEST_LIFE } from '../../up/options.ts';
import { nothing, siteName, typed } from '../input.ts';
import { ADMIN, ANYONE, operation } from '../operation.ts';

const interfaceName = z.string().min(1).max(15);
const address = z.string().max(64);
const port = z.int().min(1).max(65_535);

export const up = operation({
  name: 'up',
  help: 'run everything on this machine: DHCP or proxyDHCP, TFTP, HTTP, enrolment, fleet records',
  who: ADMIN,
  offline: 'files',
  hostOnly: true,
  input: z.strictObject({
    /** Absent: no machine boots here; orchestrator and doors alone. */
    interface: interfaceName.optional(),
    /** File that says what is served instead: several interfaces, subnets, reservations. */
    config: z.string().min(1).max(4096).optional(),
    address: address.optional(),
    proxy: z.boolean(),
    range: z.string().max(64).optional(),
    router: address.optional(),
    dns: z.array(address).optional(),
    ntp: z.array(address).optional(),
    /** `proxy`, or a /64. */
    ipv6: address.optional(),
    /** Another DHCP server may answer on the wire. */
    besideDhcp: z.boolean().optional(),
    site: siteName,
    httpPort: port,
    httpsPort: port,
    /** Seconds. */
    heartbeat: z.int().min(1).max(3600),
    /** Minutes. */
    attestEvery: z.int().min(1).max(1440),
    /** Milliseconds. */
    certificateLife: z.number().positive().max(LONGEST_LIFE),
    /** Of the door for people elsewhere; absent: there is none. */
    operatorsPort: port.optional(),
    /** Of 127.0.0.1, where Prometheus asks; absent: there is none. */
    metricsPort: port.optional(),
    /** Of the door for systems outside; absent: there is none. */
    webhooksPort: port.optional(),
  }),
  result: nothing,
  act: async () => (await import('./acts.ts')).run,
});

export const signer = operation({
  name: 'signer',
  help: 'signs orders, each checked against this disk; up starts it by itself where none runs',
  who: ADMIN,
  offline: 'files',
  hostOnly: true,
  input: z.strictObject({
    /** Disks of the fleet that may be given up in an hour. */
    wipesPerHour: z.int().min(0).max(999_999),
  }),
  result: nothing,
  act: async () => (await import('./signer.ts')).sign,
});

export const doctor = operation({
  name: 'doctor',
  help: 'check packages, keys, image, Redis, interface, ports and the wire; changes nothing',
  who: ANYONE,
  offline: 'files',
  hostOnly: true,
  input: z.strictObject({
    interface: interfaceName.optional(),
    address: address.optional(),
    proxy: z.boolean(),
    httpPort: port,
    httpsPort: port,
  }),
  result: typed<Check[]>(),
  act: async () => (await import('./doctor.ts')).look,
});
