import { X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { messageOf } from '../base/error.ts';
import { keyLayout } from './layout.ts';
import { dbCertificates, isHeld } from './secure-boot-state.ts';

/** DER of the certificates that the fleet writes, or wrote, into its machines' Secure Boot variables. */
export type FleetSecureBootKeys = Record<'PK' | 'KEK' | 'db' | 'retired', Uint8Array[]>;

/**
 * While a new db certificate replaces an old one, machines hold either or both. `retired` ones are being removed from
 * nodes by an image that has not reached all of them.
 * @throws BootwaveError `SECURE_BOOT_LISTS_INVALID`; errors of the file system
 */
export async function readSecureBootKeys(folder: string): Promise<FleetSecureBootKeys> {
  const { variables } = keyLayout(folder).secureBoot;
  const read = async (name: 'PK' | 'KEK') => [
    new X509Certificate(await readFile(variables[name].certificate)).raw,
  ];
  const [PK, KEK, all] = await Promise.all([read('PK'), read('KEK'), dbCertificates(folder)]);
  return {
    PK,
    KEK,
    db: all.filter(isHeld).map(({ der }) => der),
    retired: all.filter(({ state }) => state === 'retired').map(({ der }) => der),
  };
}

/**
 * They change under a running server: a server that knew only the old ones would lock out the nodes that got the new
 * ones.
 */
export class KeptSecureBootKeys {
  readonly #folder: string;
  readonly #warn: (text: string) => void;
  #known: FleetSecureBootKeys;
  #read: { changed: number; at: number } | null = null;

  private constructor(folder: string, known: FleetSecureBootKeys, warn: (text: string) => void) {
    this.#folder = folder;
    this.#known = known;
    this.#warn = warn;
  }

  /** @throws as `readSecureBootKeys` */
  static async open(folder: string, warn: (text: string) => void): Promise<KeptSecureBootKeys> {
    return new KeptSecureBootKeys(folder, await readSecureBootKeys(folder), warn);
  }

  /** Read again when the lists have changed. If the new files are damaged, the values read before stay in use. */
  async current(): Promise<FleetSecureBootKeys> {
    const changed = await stat(keyLayout(this.#folder).secureBoot.lists).then(
      ({ mtimeMs }) => mtimeMs,
      () => 0,
    );
    // Within one tick of the file system's clock a file may change twice and keep its modification time.
    if (this.#read?.changed === changed && this.#read.at - changed > 2000) return this.#known;
    this.#read = { changed, at: Date.now() };
    try {
      this.#known = await readSecureBootKeys(this.#folder);
    } catch (error) {
      this.#warn(`the Secure Boot keys were not read anew: ${messageOf(error)}`);
    }
    return this.#known;
  }
}
