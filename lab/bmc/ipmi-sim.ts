/**
 * One IPMI BMC: OpenIPMI's `ipmi_sim`, which speaks lanplus and asks a program for everything about the machine. It waits for that
 * program, so it is a line of shell that asks the board (control.ts) and returns at once. It knows cipher suite 3, and 0, which
 * takes any password: as many real ones do.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export type SimOptions = {
  /** For its configuration and what it keeps. */
  folder: string;
  address: string;
  port: number;
  user: string;
  password: string;
  /** UUID of the machine. */
  uuid: string;
  /** Socket of the boards, and this one's name there. */
  control: string;
  name: string;
  /** TCP port of 127.0.0.1 with the machine's serial port; absent: it offers none. */
  serial?: number | undefined;
};

const EMULATION = `mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02
sel_enable 0x20 1000 0x0a
mc_enable 0x20
`;

/** Writes what it needs. @returns its arguments */
export async function prepareSim(options: SimOptions): Promise<string[]> {
  const { folder } = options;
  await mkdir(join(folder, 'state'), { recursive: true, mode: 0o700 });
  const [lan, emulation, script] = ['lan.conf', 'bmc.emu', 'chassis'].map((name) => join(folder, name));
  await writeFile(lan!, lanConfiguration(options, script!), { mode: 0o600 });
  await writeFile(emulation!, EMULATION);
  await writeFile(script!, SCRIPT, { mode: 0o700 });
  return ['-c', lan!, '-f', emulation!, '-s', join(folder, 'state'), '-n'];
}

/** As called: `chassis SOCKET NAME get power`, `... set power 0`, `... set boot pxe`. */
const SCRIPT = `#!/bin/sh
socket=$1 name=$2; shift 2
exec curl --silent --max-time 3 --unix-socket "$socket" --data "$*" "http://bmc/$name"
`;

/** Pure. */
function lanConfiguration(
  { address, port, user, password, uuid, control, name, serial }: Omit<SimOptions, 'folder'>,
  script: string,
): string {
  return `name "bwbmc"
set_working_mc 0x20
  startlan 1
    addr ${address} ${port}
    priv_limit admin
    allowed_auths_callback
    allowed_auths_user md5
    allowed_auths_operator md5
    allowed_auths_admin md5
    guid ${uuid.replaceAll('-', '')}
  endlan
${serial === undefined ? '' : `  sol "tcp:127.0.0.1:${serial}" 115200\n`}  chassis_control "${script} ${control} ${name}"
  user 1 false "" "" user 0
  user 2 true "${user}" "${password}" admin 10
`;
}
