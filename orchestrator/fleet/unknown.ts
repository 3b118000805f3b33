import { BootwaveError } from '../../base/error.ts';

export function unknownNode(id: string): BootwaveError {
  return new BootwaveError({
    code: 'NODE_UNKNOWN',
    what: `there is no node '${id}'`,
    unchanged: 'nothing was changed',
    next: `'bootwave node list' shows all of them`,
  });
}
