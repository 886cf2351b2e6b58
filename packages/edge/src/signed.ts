import { createHmac, timingSafeEqual } from 'node:crypto';
import * as z from 'zod';

/** Longest signed text that is looked at. */
const maxLength = 4_096;

/** What a browser may carry, each for its own purpose: one does not pass for another. */
const ticket = z.discriminatedUnion('kind', [
  /** Entered with a token: of one sprite. */
  z.strictObject({ kind: z.literal('token'), sprite: z.string(), id: z.string(), until: z.number() }),
  /** Entered through a preview link. */
  z.strictObject({ kind: z.literal('link'), sprite: z.string(), id: z.string(), until: z.number() }),
  /** The way to the login page: where it began, and the hash of what its browser keeps. */
  z.strictObject({
    kind: z.literal('way'),
    origin: z.string(),
    to: z.string(),
    browser: z.string(),
    until: z.number(),
  }),
  /** The way back from it. */
  z.strictObject({
    kind: z.literal('back'),
    sprite: z.string(),
    id: z.string(),
    to: z.string(),
    browser: z.string(),
    until: z.number(),
  }),
]);
type Ticket = z.output<typeof ticket>;
/** The ticket of one kind. */
export type TicketOf<Kind extends Ticket['kind']> = Extract<Ticket, { kind: Kind }>;

/** Signs tickets and reads signed ones. Times are ms since the epoch. */
export class Signer {
  readonly #key: Buffer;

  constructor(key: Buffer) {
    this.#key = key;
  }

  sign(value: Ticket): string {
    const text = Buffer.from(JSON.stringify(value)).toString('base64url');
    return `${text}.${this.#mac(text).toString('base64url')}`;
  }

  /** Undefined: it is not ours, for something else, or over. */
  read<Kind extends Ticket['kind']>(kind: Kind, signed: string): TicketOf<Kind> | undefined {
    if (signed.length > maxLength) return undefined;
    const [text = '', mac = '', ...more] = signed.split('.');
    const given = Buffer.from(mac, 'base64url');
    const right = this.#mac(text);
    if (more.length > 0 || given.length !== right.length || !timingSafeEqual(given, right)) return undefined;
    const value = ticket.parse(JSON.parse(Buffer.from(text, 'base64url').toString()));
    return value.kind === kind && value.until > Date.now() ? (value as TicketOf<Kind>) : undefined;
  }

  #mac(text: string): Buffer {
    return createHmac('sha256', this.#key).update(text).digest();
  }
}
