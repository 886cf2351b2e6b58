import type { GuestCall, GuestCallLine } from '@sylph/model';
import type { SpriteView } from '../sprite-view.ts';

/** What the programs of a guest ask of the daemon, over its socket inside. */
export interface GuestCalls {
  /** Calls as they come, and what tasks hold. Ends when `signal` fires; throws `agent_failed` when the guest breaks off or says what makes no sense. */
  listen(options: { signal: AbortSignal }): AsyncIterable<GuestCallLine>;
  /** Answers a call. Resolves when the guest has taken it; an asker who has gone is no error. */
  answer(
    call: GuestCall,
    answer: { status: number; contentType: string; body: AsyncIterable<string> },
    options: { signal: AbortSignal },
  ): Promise<void>;
}

/** A guest that is awake, for who answers its programs. */
export interface CallingGuest {
  readonly calls: GuestCalls;
  /** As it is now. */
  view(): SpriteView;
  /** Keeps it awake for so long from now on, instead of what was said before. */
  holdAwake(forMs: number): void;
}

/** Answers the programs of guests. */
export interface CallAnswerer {
  /** Serves a guest until the signal fires or its channel breaks. Never throws. */
  serve(guest: CallingGuest, signal: AbortSignal): void;
}
