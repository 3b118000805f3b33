import type { Role } from '../../keys/operator.ts';

/** How it is known which sites a command is about. */
export type SiteOf =
  /** The nodes that it names, and `--site`. */
  | 'nodes'
  /** Its first argument. */
  | 'site'
  /** `--site`, or the site of the expectation that it withdraws. */
  | 'expectation';

export type Rule = {
  /** Who may, besides admins, who may do everything. `anyone`: even without being known. */
  who: readonly Exclude<Role, 'admin'>[] | 'anyone';
  /** A site admin may only where all that it is about is at their sites; null: it is not bound to sites. */
  site: SiteOf | null;
};

const rule = (who: Rule['who'], site: SiteOf | null = null): Rule => ({ who, site });

/** The machine's own affairs: nothing of the fleet is changed. */
const ANYONE = rule('anyone');
const ADMIN = rule([]);
const CORE = rule(['core']);
const READ = rule(['core', 'site-admin', 'viewer']);
const THEIRS = (site: SiteOf) => rule(['core', 'site-admin'], site);

/**
 * Who may do what. Each command of the command line has its row; one without a row is for admins. Everybody who
 * is known may read everything: whoever sees that it is not only their site asks nobody.
 */
export const TABLE: Readonly<Record<string, Rule>> = {
  'keys init': ADMIN,
  'keys show': READ,
  'keys roles': READ,
  'keys rotate': ADMIN,
  'keys ceremony': ADMIN,
  'keys tpm-roots add': ADMIN,
  'keys tpm-roots list': READ,
  'keys ca show': READ,
  'keys ca prepare': ADMIN,
  'keys ca activate': ADMIN,
  'keys ca taint': ADMIN,
  'keys ca revoke': ADMIN,
  'keys secure-boot show': READ,
  'keys secure-boot revoke': CORE,
  'keys secure-boot prepare': ADMIN,
  'keys secure-boot activate': ADMIN,
  'keys secure-boot retire': ADMIN,
  'operator add': ADMIN,
  'operator list': READ,
  'operator revoke': ADMIN,

  'image build': CORE,
  'image publish': CORE,
  'image list': READ,
  'image withdraw': CORE,
  'image withdrawn': READ,
  'image reinstate': CORE,
  'team key': ANYONE,
  'team sign': ANYONE,
  'team add': CORE,
  'team remove': CORE,
  'team list': READ,
  // What counts is the signature of the team.
  'team publish': READ,
  up: ADMIN,
  signer: ADMIN,

  'site add': CORE,
  'site set': THEIRS('site'),
  'site list': READ,
  'site show': READ,

  'node list': READ,
  'node watch': READ,
  'node show': READ,
  'node history': READ,
  'node approve': THEIRS('nodes'),
  'node reject': THEIRS('nodes'),
  'node retire': THEIRS('nodes'),
  'node set': THEIRS('nodes'),
  'node expect': THEIRS('expectation'),
  'firmware list': READ,
  'firmware accept': CORE,
  'firmware forget': CORE,
  'ban add': CORE,
  'ban list': READ,
  'ban lift': CORE,

  'request list': READ,
  'request show': READ,
  'request approve': CORE,
  'request deny': CORE,
  'break-glass': CORE,

  'config publish': CORE,
  'config list': READ,
  'config show': READ,

  'rollout plan': READ,
  'rollout start': CORE,
  'rollout list': READ,
  'rollout show': READ,
  'rollout watch': READ,
  'rollout history': READ,
  'rollout pause': CORE,
  'rollout resume': CORE,
  'rollout abort': CORE,
  'rollout rollback': CORE,
  'rollout approve': CORE,
  'rollout skip': CORE,
  'rollout forgive': CORE,
  'rollout floor': CORE,

  'audit list': READ,
  'audit verify': READ,
  'audit export': READ,
  'audit accept': ADMIN,

  doctor: ANYONE,
  'lab up': ANYONE,
  'lab power': ANYONE,
  'lab console': ANYONE,
  'lab status': ANYONE,
  'lab save': ANYONE,
  'lab saved': ANYONE,
  'lab forget': ANYONE,
  'lab down': ANYONE,
  demo: ANYONE,
};

export function ruleOf(command: string): Rule {
  return (Object.hasOwn(TABLE, command) ? TABLE[command] : undefined) ?? ADMIN;
}
