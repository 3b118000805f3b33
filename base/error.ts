import { defined } from './defined.ts';

/**
 * The one error type that users meet. Every error that can reach a person carries a stable code (scripts match on
 * it), says what happened, what was left unchanged, and what to do next.
 */
export type ErrorParts = {
  /** Stable, upper snake case with the owner first, e.g. `KEYS_EXIST`. Never renamed once released. */
  code: string;
  /** What happened, one sentence. Never holds a secret. */
  what: string;
  /** What was left as it was, e.g. "nothing was published". */
  unchanged?: string | undefined;
  /** What the reader should do next. */
  next?: string | undefined;
  cause?: unknown;
  /** Id of the machine that it is about: for the audit, never sent to anybody. */
  subject?: string | undefined;
};

export class BootwaveError extends Error {
  readonly code: string;
  readonly what: string;
  readonly unchanged: string | undefined;
  readonly next: string | undefined;
  readonly subject: string | undefined;

  constructor(parts: ErrorParts) {
    const tail = [parts.unchanged, parts.next].filter((s) => s !== undefined && s !== '').join('; ');
    super(
      tail === '' ? parts.what : `${parts.what}; ${tail}`,
      parts.cause === undefined ? {} : { cause: parts.cause },
    );
    this.name = 'BootwaveError';
    this.code = parts.code;
    this.what = parts.what;
    this.unchanged = parts.unchanged;
    this.next = parts.next;
    this.subject = parts.subject;
  }

  toJSON(): { code: string; what: string; unchanged?: string | undefined; next?: string | undefined } {
    const { code, what, unchanged, next } = this;
    return defined({ code, what, unchanged, next });
  }
}

/** What was asked cannot be done, and so nothing was changed. */
export function refusal(code: string, what: string, next?: string): BootwaveError {
  return new BootwaveError({ code, what, unchanged: 'nothing was changed', next });
}

/** An error that another process told, as one of this process. */
export function errorOf(told: ReturnType<BootwaveError['toJSON']>): BootwaveError {
  const { code, what, unchanged, next } = told;
  // By name: another process sets neither a subject nor a cause.
  return new BootwaveError({ code, what, unchanged, next });
}

/** The message of anything thrown, for logs and for `cause` lines. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The code of anything thrown. @param otherwise of what is not one of our errors */
export function codeOf(error: unknown, otherwise = 'UNEXPECTED'): string {
  return error instanceof BootwaveError ? error.code : otherwise;
}

/** What happened, of anything thrown, without what to do next. */
export function whatOf(error: unknown): string {
  return error instanceof BootwaveError ? error.what : messageOf(error);
}

/** What happened, with its code behind it where it has one: for people at a console. */
export function whatAndCode(error: unknown): string {
  return error instanceof BootwaveError ? `${error.what} [${error.code}]` : messageOf(error);
}

/** Why something failed, for a history: its code, where it has one, and what happened. */
export function whyText(error: unknown): string {
  return error instanceof BootwaveError ? `${error.code}: ${error.what}` : messageOf(error);
}
