/** EFI_SIGNATURE_LISTs (UEFI 2.10, 32.4.1): what PK, KEK, db and dbx are made of. Pure. */
import { isFill, LittleReader } from '../byte-reader.ts';

/** EFI_CERT_X509_GUID, as it lies in memory. */
export const X509 = 'a159c0a5e494a74a87b5ab155c2bf072';

export type SignatureEntry = {
  /** EFI_GUID of what `data` is, hex as it lies in memory. */
  type: string;
  /** Who put it there (EFI_SIGNATURE_DATA.SignatureOwner), hex as it lies in memory. */
  owner: string;
  /** A certificate in DER, or a digest. */
  data: Buffer;
};

/** Bytes of an EFI_GUID. */
const TYPE = 16;
/** Bytes of a list before its header: its type, and three lengths. */
const LIST = 28;
/** Bytes of EFI_SIGNATURE_DATA before its data: who put it there. */
const OWNER = 16;

/** Whether an entry is this certificate, which says itself where it ends (DER); zeros may follow. */
export function holds(data: Uint8Array, certificate: Uint8Array): boolean {
  const { length } = certificate;
  return (
    data.length >= length &&
    Buffer.compare(data.subarray(0, length), certificate) === 0 &&
    isFill(data.subarray(length))
  );
}

/**
 * Every entry of every list, in order. What is wrong is found when the walk comes to it.
 * @param code the error code of everything that is wrong with these bytes
 */
export function* signatureEntries(lists: Uint8Array, code: string): Generator<SignatureEntry> {
  const reader = new LittleReader(lists, code);
  while (reader.left > 0) {
    // A variable that is longer than its lists: no list is of the type that is all zeros.
    const rest = lists.subarray(lists.length - reader.left);
    if (rest.length < lists.length && isFill(rest.subarray(0, TYPE)) && isFill(rest)) return;
    const type = reader.take(TYPE).toString('hex');
    const [length, header, size] = [reader.u32(), reader.u32(), reader.u32()];
    if (length < LIST + header || size <= OWNER || (length - LIST - header) % size !== 0) {
      reader.fail('a signature list whose lengths do not agree');
    }
    const list = new LittleReader(reader.take(length - LIST), code);
    list.take(header);
    while (list.left > 0) {
      const owner = list.take(OWNER).toString('hex');
      yield { type, owner, data: list.take(size - OWNER) };
    }
  }
}
