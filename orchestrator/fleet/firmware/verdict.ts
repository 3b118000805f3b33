/** Whether the firmware of a machine is known for its model. Pure. */

/** A PCR that nothing was ever measured into (TPM 2.0 Part 1, 17.2: PCR 0-15 start as zeros). */
export const UNTOUCHED = '00'.repeat(32);

/** What a model's machines may show, and what happens to one that shows something else. */
export type KnownFirmware = {
  model: string;
  /** PCR 0, hex; null: the model is new, so the first value defines it. Empty: people withdrew all values. */
  values: readonly string[] | null;
  /** The site's policy: `report`, it is shown; `enforce`, it is kept out. */
  policy: 'report' | 'enforce';
};

/**
 * Only PCR 0 is the same for all machines of one model with one version of the firmware: it holds the code that the
 * maker of the board delivers (TCG PC Client Platform Firmware Profile 1.05, 3.3.4.1). The others vary without anybody
 * having done wrong: 1 with settings and boot order, 2 and 3 with the cards, their slots and their firmware, 4 with every
 * image, 5 with the partitions, 6 with what woke the machine (3.3.4.2 to 3.3.4.7). What cards bring along is still held
 * by PCR 7: under Secure Boot it runs only when the fleet's keys let it.
 * @returns PCR 0, hex; null: it shows none, or its firmware measures nothing
 */
export function pcr0Of(pcrs: Readonly<Record<string, string>> | null): string | null {
  const value = pcrs?.['0'] ?? UNTOUCHED;
  return value === UNTOUCHED ? null : value;
}

/** @returns what is unexpected about its firmware; null: nothing is */
export function strangeFirmware(
  pcrs: Readonly<Record<string, string>> | null,
  { model, values }: Pick<KnownFirmware, 'model' | 'values'>,
): string | null {
  const shown = pcr0Of(pcrs);
  if (values === null || (shown !== null && values.includes(shown))) return null;
  const what = shown === null ? 'not shown' : shown.slice(0, 16);
  // The machine itself reports its model: the important text must not be cut off behind it.
  return `firmware (PCR 0) is ${what}, which is not known of model ${model.slice(0, 80)}`;
}
