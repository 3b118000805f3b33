import type { Policy, Site } from '../../fleet/site.ts';
import type { Acting } from '../operation.ts';

type Named = { name: string };
type Given = { [K in keyof Policy]?: Policy[K] | undefined };

export const add = ({ name, policy }: Named & { policy: Given }, { fleet, by }: Acting): Promise<Site> =>
  fleet.sites.add(name, said(policy), by);

export const set = ({ name, policy }: Named & { policy: Given }, { fleet, by }: Acting): Promise<Site> =>
  fleet.sites.set(name, said(policy), by);

export const list = (_: object, { fleet }: Acting): Promise<Site[]> => fleet.sites.list();

export const show = ({ name }: Named, { fleet }: Acting): Promise<Site> => fleet.sites.get(name);

const said = (policy: Given): Partial<Policy> =>
  Object.fromEntries(Object.entries(policy).filter(([, value]) => value !== undefined));
