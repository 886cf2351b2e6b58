import * as z from 'zod';

/** Longest control line either side accepts, bytes. */
export const maxControlLineBytes = 64 * 1024;

/** Version of the guest wire this daemon speaks. An older agent inside a sleeping sprite's RAM answers with its own. */
export const guestWireVersion = 1;

/** Identity of a start: sent to the guest before anyone else talks to it. */
export interface ResumeEvent {
  /** Unix time, nanoseconds, decimal. */
  time: string;
  /** 64 bytes, base64. */
  entropy: string;
  /** New at every start. */
  generationId: string;
  hostname: string;
  spriteId: string;
  /** 32 hex digits. */
  machineId: string;
  /** A fork or a first start: machine-id, SSH host keys and outside connections change too. */
  newIdentity: boolean;
}

/** What the host asks on the control port. */
export type ControlRequest =
  | { op: 'hello'; versions: number[] }
  | ({ op: 'resume'; nonce: string } & ResumeEvent)
  | { op: 'open'; nonce: string }
  | { op: 'quiesce' }
  | { op: 'poweroff'; deadlineMs: number };

/** Answer of the guest, of unknown truthfulness: every text is cut and cleaned before it is shown. Unknown fields are dropped: a newer agent may say more. */
export const controlReply = z.object({
  id: z.string().max(64),
  ok: z.boolean(),
  error: z.string().max(4096).optional(),
  code: z.string().max(64).optional(),
  version: z.int().optional(),
  agent: z.string().max(128).optional(),
  kernel: z.string().max(128).optional(),
  bootId: z.string().max(64).optional(),
  ready: z.boolean().optional(),
});
export type ControlReply = z.output<typeof controlReply>;
