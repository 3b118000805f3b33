import { BootwaveError } from '../../base/error.ts';

/** Why an order is not signed. */
export const unsigned = (
  code: string,
  what: string,
  next = 'find out who wrote that into the database',
): BootwaveError => new BootwaveError({ code, what, unchanged: 'nothing was signed', next });
