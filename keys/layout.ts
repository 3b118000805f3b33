import { join } from 'node:path';

export const AUTHORITIES = ['nodes', 'servers', 'operators'] as const;
export type AuthorityName = (typeof AUTHORITIES)[number];

/** UEFI variables in the order in which they must be written: PK last, because it ends setup mode (UEFI 2.10, 32.3). */
export const SECURE_BOOT_VARIABLES = ['db', 'KEK', 'PK'] as const;
export type SecureBootVariable = (typeof SECURE_BOOT_VARIABLES)[number];

type KeyAndCertificate = { key: string; certificate: string };

/** Every file below the keys folder, in one place. Secrets end in `.key`; all else may be shown to anyone. */
export type KeyLayout = {
  folder: string;
  secureBoot: {
    /** GUID that marks the fleet's entries in db and KEK (EFI_SIGNATURE_DATA.SignatureOwner). */
    owner: string;
    variables: Record<SecureBootVariable, KeyAndCertificate & { esl: string; auth: string }>;
    /** What db and dbx hold, and which generation is in force; absent: they never changed. */
    lists: string;
    /** One complete generation of dbx; a generation that `lists` does not name does not count. */
    dbx: (generation: number) => { esl: string; auth: string };
    /** One complete generation of db; fleets that never changed the key that signs images have none. */
    db: (generation: number) => { esl: string; auth: string };
    /**
     * A db key that was prepared to replace the first one, named by the id of its certificate (secure-boot-state.ts).
     */
    dbKey: (id: string) => KeyAndCertificate;
  };
  ca: Record<AuthorityName | 'root', KeyAndCertificate>;
  /** What the orchestrator shows to a node's sshd. */
  ssh: { key: string; pub: string };
  /** Signs the PCR 11 policy of released images (systemd-measure); its public half is `.pcrpkey` in the UKI. */
  pcr: { key: string; pub: string };
  /** Ed25519; signs the orders that nodes obey. */
  order: { key: string; pub: string };
  /** 32 bytes, hex: what secrets of services are encrypted under on this server's disk. */
  secrets: string;
  /** The same for how BMCs are reached (at-rest.ts). */
  bmcs: string;
  /** Keys of the release roles that are on this machine, and the root that first named keys (TUF). */
  release: { folder: string; root: string };
  /** Folder with the CA certificates of TPM makers, `*.pem`; nothing secret in it. */
  tpmRoots: string;
};

export function keyLayout(folder: string): KeyLayout {
  const variable = (name: SecureBootVariable) => ({
    key: join(folder, 'secure-boot', `${name}.key`),
    certificate: join(folder, 'secure-boot', `${name}.crt`),
    esl: join(folder, 'secure-boot', `${name}.esl`),
    auth: join(folder, 'secure-boot', `${name}.auth`),
  });
  const list = (name: 'db' | 'dbx') => (generation: number) => ({
    esl: join(folder, 'secure-boot', `${name}-${generation}.esl`),
    auth: join(folder, 'secure-boot', `${name}-${generation}.auth`),
  });
  const ca = (name: string) => ({
    key: join(folder, 'ca', `${name}.key`),
    certificate: join(folder, 'ca', `${name}.crt`),
  });
  return {
    folder,
    secureBoot: {
      owner: join(folder, 'secure-boot', 'owner.guid'),
      variables: { db: variable('db'), KEK: variable('KEK'), PK: variable('PK') },
      lists: join(folder, 'secure-boot', 'lists.json'),
      dbx: list('dbx'),
      db: list('db'),
      dbKey: (id) => ({
        key: join(folder, 'secure-boot', `db-key-${id}.key`),
        certificate: join(folder, 'secure-boot', `db-key-${id}.crt`),
      }),
    },
    ca: { root: ca('root'), nodes: ca('nodes'), servers: ca('servers'), operators: ca('operators') },
    ssh: { key: join(folder, 'ssh', 'client.key'), pub: join(folder, 'ssh', 'client.pub') },
    pcr: { key: join(folder, 'pcr', 'policy.key'), pub: join(folder, 'pcr', 'policy.pub') },
    order: { key: join(folder, 'order', 'order.key'), pub: join(folder, 'order', 'order.pub') },
    secrets: join(folder, 'secrets', 'at-rest.key'),
    bmcs: join(folder, 'bmcs', 'at-rest.key'),
    release: { folder: join(folder, 'release'), root: join(folder, 'release', '1.root.json') },
    tpmRoots: join(folder, 'tpm-roots'),
  };
}
