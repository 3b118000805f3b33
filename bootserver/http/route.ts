import type { BootStep } from '../directory.ts';
import type { Interval } from './coverage.ts';
import type { Parts } from './parts.ts';

export type Asked = {
  /** Lower case with colons; empty on routes without one. */
  mac: string;
  version: string;
  name: string;
  /** SHA-256, hex. */
  digest: string;
  /** MAC address of the client. */
  address: string;
  query: URLSearchParams;
};

export type Reply =
  | { kind: 'text'; type: string; text: string | Buffer; step?: BootStep }
  | FileReply
  | { kind: 'absent'; code: string; what: string };

export type FileReply = {
  kind: 'file';
  type: string;
  etag: string;
  /** Milliseconds since the epoch. */
  modified: number;
  fd: number;
  /** The bytes of the file that are this resource. */
  part: Interval;
  /** For the files that boot a machine: what is reported, and when it is complete. */
  boot?: BootDownload;
  /** Called once, when the answer is over. */
  release(): void;
};

export type BootDownload = {
  /** The machine and the image. */
  who: string;
  version: string;
  /** The resource that a machine fetches first. */
  first: boolean;
  /** Parts of the file that together boot the machine. */
  goal: readonly Interval[];
};

export type Route = { pattern: RegExp; serve: (asked: Asked, parts: Parts) => Promise<Reply> };
