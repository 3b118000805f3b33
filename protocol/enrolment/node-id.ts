import { digestOf } from '../../formats/digest.ts';
import type { TpmPublic } from '../../formats/tpm/public.ts';
import type { Inventory } from './inventory.ts';

/** The record's id follows the TPM: it survives every part of the machine but that one. */
export function tpmNodeId(ek: TpmPublic): string {
  return `tpm-${ek.digest}`;
}

/** Without a TPM nothing lasting can be proved; this only names the machine, and whoever copies these values is it. */
export function deviceNodeId(inventory: Pick<Inventory, 'uuid' | 'serial' | 'nics'>): string {
  const macs = inventory.nics.map((nic) => nic.mac).toSorted();
  const parts = [inventory.uuid, inventory.serial, ...macs].map((text) => Buffer.from(text, 'utf8'));
  return `dev-${digestOf('bootwave device 1', parts).toString('hex')}`;
}
