import type { BanList } from '../../../bootserver/enroll/bans.ts';
import { type Refusal, refuse } from '../outcome.ts';

/** The machine itself is not banned. */
export const KEY_BANNED = 'ENROL_KEY_BANNED';

/** Why a machine may neither enrol nor be certified; null: no ban says so. */
export function barred(bans: BanList, { id, key }: { id: string; key: string }): Refusal | null {
  const machine = bans.banOf({ id });
  if (machine !== null) return refuse('ENROL_BANNED', `this machine is banned: ${machine.reason}`);
  const old = bans.banOf({ key });
  if (old === null) return null;
  return refuse(KEY_BANNED, `its key is banned, restart the machine to make another: ${old.reason}`);
}
