import { BootwaveError } from '../../base/error.ts';
import type { Role } from '../../keys/operator.ts';
import type { Credential } from '../../keys/vote.ts';
import { actingFor, type By } from '../../orchestrator/fleet/acting.ts';
import { hostActor } from '../../orchestrator/operators/identify.ts';
import type { Identity } from '../../orchestrator/operators/judge.ts';

let current: Identity | null = null;

/** From here on, this process acts for them; null: for whoever runs it. */
export function actAs(identity: Identity | null): void {
  current = identity;
  const serial = identity?.certificate?.serial;
  actingFor(identity === null || serial === undefined ? null : { actor: identity.actor, serial });
}

/** Who types this: as authorised, else whoever runs this process. */
export function operator(): By {
  return { actor: current?.actor ?? hostActor(), at: Date.now() };
}

export const operatorRole = (): Role | undefined => current?.role;

/** Serial of the certificate by which they act; undefined: by being root here. */
export function operatorSerial(): string | undefined {
  return current?.certificate?.serial;
}

/**
 * With what they sign: for what takes two people, a name is not enough, and root could give any.
 * @throws BootwaveError `REQUEST_CERTIFICATE`
 */
export function signer(): Credential {
  const credential = current?.certificate?.credential;
  if (credential !== undefined) return credential;
  throw new BootwaveError({
    code: 'REQUEST_CERTIFICATE',
    what: 'this takes two people, each known by a certificate; being root on this machine is none',
    unchanged: 'nothing was asked or approved',
    next: "give --as FILE; 'bootwave operator add' makes one",
  });
}
