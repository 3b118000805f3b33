/** What a replayed event log says of a machine's firmware. */
export type FirmwareFacts = {
  /** The firmware let only signed programs run, as it measured itself. */
  secureBoot: boolean;
  /** What is not the fleet's in its keys, or in what they let run; empty: all is. */
  foreign: string[];
  /**
   * The fleet's certificates in its db, as it was measured: the beginning of the SHA-256 of each, 16 hex digits. Absent: an
   * older boot server wrote this.
   */
  db?: string[] | undefined;
  /** What in its keys, or in what they let run, is the fleet's by a certificate that is retired; absent: nothing. */
  retired?: string[] | undefined;
  /** Option ROMs that ran, by place and digest. */
  optionRoms: string[];
  /** What it revokes (dbx), as it was measured; `entries` null: nobody can read it. Absent: it was not measured. */
  dbx?: { entries: number | null; sha256: string } | undefined;
};
