/** The signed image as it is, and, for BIOS, kernel and initrd as the byte ranges of the same file that they are. */
import { sectionNamed } from '../../formats/pe/uki-sections.ts';
import type { Interval } from './coverage.ts';
import type { OpenImage } from './image-store.ts';
import type { Parts } from './parts.ts';
import type { Asked, FileReply, Reply } from './route.ts';

export async function image(asked: Asked, parts: Parts): Promise<Reply> {
  return withImage(asked, parts, (open) => {
    const whole: Interval = [0, open.size];
    // UEFI 2.10 section 24.7.3.2: this media type is what tells HTTP Boot that it got a UEFI image.
    return file(asked, open, { part: whole, goal: [whole], first: true, type: 'application/efi', tag: '' });
  });
}

/** For a running node that updates its disk: no machine boots by this download, so it is no boot step. */
export async function update(asked: Asked, parts: Parts): Promise<Reply> {
  const reply = await image(asked, parts);
  if (reply.kind !== 'file') return reply;
  const { boot: _, ...rest } = reply;
  return rest;
}

/** Under the name that contains its digest: a client that asks for other bytes gets none. */
export async function target(asked: Asked, parts: Parts): Promise<Reply> {
  const reply = await update(asked, parts);
  if (reply.kind !== 'file' || reply.etag === `"${asked.digest}"`) return reply;
  reply.release();
  return { kind: 'absent', code: 'IMAGE_NOT_PUBLISHED', what: `no such image ${asked.version} is published` };
}

export async function linux(asked: Asked, parts: Parts): Promise<Reply> {
  return section(asked, parts, '.linux', true);
}

export async function initrd(asked: Asked, parts: Parts): Promise<Reply> {
  return section(asked, parts, '.initrd', false);
}

async function section(asked: Asked, parts: Parts, name: string, first: boolean): Promise<Reply> {
  return withImage(asked, parts, (open) => {
    const part = interval(open, name);
    if (part === undefined) {
      return {
        kind: 'absent',
        code: 'IMAGE_PART_ABSENT',
        what: `image ${open.version} has no section ${name}`,
      };
    }
    const goal = ['.linux', '.initrd'].flatMap((each) => {
      const found = interval(open, each);
      return found === undefined ? [] : [found];
    });
    return file(asked, open, { part, goal, first, type: 'application/octet-stream', tag: name });
  });
}

async function withImage(asked: Asked, { images }: Parts, reply: (open: OpenImage) => Reply): Promise<Reply> {
  const open = await images.open(asked.version);
  if (open === undefined) {
    return { kind: 'absent', code: 'IMAGE_NOT_PUBLISHED', what: `no image ${asked.version} is published` };
  }
  const answer = reply(open);
  if (answer.kind !== 'file') open.release();
  return answer;
}

function interval(open: OpenImage, name: string): Interval | undefined {
  const found = sectionNamed(open.sections, name);
  return found === undefined ? undefined : [found.offset, found.offset + found.length];
}

type Resource = { part: Interval; goal: readonly Interval[]; first: boolean; type: string; tag: string };

function file(asked: Asked, open: OpenImage, { part, goal, first, type, tag }: Resource): FileReply {
  return {
    kind: 'file',
    type,
    etag: `"${open.sha256}${tag}"`,
    modified: open.modified,
    fd: open.handle.fd,
    part,
    boot: { who: `${asked.mac} ${open.sha256}`, version: open.version, first, goal },
    release: open.release,
  };
}
