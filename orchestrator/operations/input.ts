/** What inputs are made of, with the limits that every door keeps. */
import { z } from 'zod';
import { SHA256_HEX } from '../../formats/digest.ts';

/** Name, MAC, serial number, id or the beginning of one. */
export const nodeWord = z.string().min(1).max(128);
/** Nodes of one operation: a fleet of 10,000 and some. */
export const nodeWords = z.array(nodeWord).min(1).max(20_000);
export const siteName = z.string().min(1).max(63);
export const sliceName = z.string().min(1).max(32);
export const templateName = z.string().min(1).max(63);
export const reason = z.string().min(1).max(1000);
export const version = z.string().min(1).max(64);
/** Milliseconds since the epoch. */
export const moment = z.number().min(0).max(8.64e15);
/** A file or a folder on the server's machine. */
export const file = z.string().min(1).max(4096);
/** Folders with release keys on the server's machine, beside the keys folder. */
export const media = z.array(file).max(100);
export const namesFolders = ({ keys }: { keys: readonly string[] }): boolean => keys.length > 0;
/** Files of the server's machine that a backup is restored from. */
export const backupFiles = {
  from: file,
  /** File with age's private key. */
  key: file,
  /** SHA-256 of the fleet's root certificate, hex. */
  fleet: z.string().regex(SHA256_HEX),
};
/** `NAME:VERSION` or `OWNER/NAME:VERSION`. */
export const serviceWord = z.string().min(3).max(160);
/** What a service needs: YAML or JSON. */
export const manifest = z.string().max(64 * 1024);
export const nothing = z.strictObject({});

/** Large JSON, described by the types of the code that makes it. */
export const typed = <T>(): z.ZodType<T> => z.custom<T>((value) => value !== undefined);
