/** What a replayed event log says of a machine's firmware. */
export type FirmwareFacts = {
  /** The firmware let only signed programs run, as it measured itself. */
  secureBoot: boolean;
  /** What is not the fleet's in its keys, or in what they let run; empty: all is. */
  foreign: string[];
  /** Option ROMs that ran, by place and digest. */
  optionRoms: string[];
  /** What it revokes (dbx), as it was measured; `entries` null: nobody can read it. Absent: it was not measured. */
  dbx?: { entries: number | null; sha256: string } | undefined;
};
