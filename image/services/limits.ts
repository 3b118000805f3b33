/** The most that an OCI image may bring; judged while it is read and before anything is unpacked. */
export const OCI_LIMITS = {
  /** Bytes of an index, a manifest or a config. */
  document: 4 * 2 ** 20,
  layers: 128,
  /** Entries of all layers together. */
  entries: 1_000_000,
  /** Bytes of all layers together, unpacked. */
  bytes: 8 * 2 ** 30,
  /** Entries of the archive that holds it. */
  files: 10_000,
  /** Folders in one another. */
  depth: 128,
  /** Bytes of a path. */
  path: 2048,
  /** Bytes of a name (NAME_MAX). */
  name: 255,
} as const;
export type OciLimits = { [name in keyof typeof OCI_LIMITS]: number };
