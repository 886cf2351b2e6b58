import { setTimeout as sleep } from 'node:timers/promises';
import type { CallAnswerer, CallingGuest } from '@sylph/engine';
import { type GuestCall, maxTaskMs, SylphError, toErrorBody } from '@sylph/model';
import { logFailure } from '../api/failure-log.ts';
import { shownFailure } from '../api/shown-failure.ts';
import { answerCall, json, type Answer, type CallDeps } from './answer-call.ts';

/** Calls of one guest answered at the same time. */
const maxAtOnce = 8;
/** Calls of one guest that are answered or refused at the same time: beyond, they are left to the deadline of their agent. */
const maxUnderWay = 32;
/** An answer has to be taken by then; a checkpoint may take minutes. */
const answerDeadlineMs = 15 * 60_000;
/** Between attempts to listen to a guest that has ended its calls, or said what is none. */
const listenAgainMs = 5_000;
/** Calls of one guest in a second. */
const maxPerSecond = 20;
/** A guest that has just started is listened to a moment later: its first command comes first. Within the 2 s that its agent lets a call wait. */
const settleMs = 1_000;

/** Answers what programs of sprites ask over `/.sprite/api.sock`. A call acts on its own sprite only: it names none. */
export class GuestCallAnswerer implements CallAnswerer {
  readonly #deps: CallDeps;

  constructor(deps: CallDeps) {
    this.#deps = deps;
  }

  serve(guest: CallingGuest, signal: AbortSignal): void {
    void this.#serve(guest, signal).catch((error: unknown) => {
      // The channel's own watch deals with a guest that does not answer; without its calls the sprite works on.
      if (!signal.aborted) this.#deps.log.debug({ err: error }, 'calls of a guest are not heard any more');
    });
  }

  async #serve(guest: CallingGuest, signal: AbortSignal): Promise<void> {
    await sleep(settleMs, undefined, { signal, ref: false });
    const load: Load = { atOnce: 0, allowance: new Allowance() };
    for (;;) {
      try {
        await this.#listen(guest, load, signal);
      } catch (error) {
        this.#deps.log.debug({ err: error }, 'calls of a guest broke off; they are listened to again');
      }
      await sleep(listenAgainMs, undefined, { signal, ref: false });
    }
  }

  async #listen(guest: CallingGuest, load: Load, signal: AbortSignal): Promise<void> {
    for await (const line of guest.calls.listen({ signal })) {
      if ('tasksMs' in line) {
        guest.holdAwake(Math.min(line.tasksMs, maxTaskMs));
        continue;
      }
      if (load.atOnce >= maxUnderWay) continue;
      const refused = !load.allowance.take() || load.atOnce >= maxAtOnce;
      load.atOnce += 1;
      void this.#answer(guest, line, refused, signal).finally(() => (load.atOnce -= 1));
    }
  }

  /** Never rejects. */
  async #answer(guest: CallingGuest, call: GuestCall, refused: boolean, signal: AbortSignal): Promise<void> {
    try {
      const answer = refused ? failed(tooMany()) : await this.#answerTo(guest, call);
      const deadline = AbortSignal.timeout(answerDeadlineMs);
      await guest.calls.answer(call, answer, { signal: AbortSignal.any([signal, deadline]) });
    } catch (error) {
      // Who asked hears of the break himself.
      this.#deps.log.debug({ err: error, path: call.path }, 'a call of a guest was not answered');
    }
  }

  async #answerTo(guest: CallingGuest, call: GuestCall): Promise<Answer> {
    try {
      return await answerCall(call, guest.view(), this.#deps);
    } catch (error) {
      if (SylphError.from(error).status >= 500)
        logFailure(this.#deps.log, error, 'a call of a guest failed', { path: call.path });
      return failed(error);
    }
  }
}

/** What one guest asks for, over all connections to it. */
interface Load {
  atOnce: number;
  allowance: Allowance;
}

/** So many in each second. */
class Allowance {
  #second = 0;
  #left = maxPerSecond;

  take(): boolean {
    const second = Math.floor(performance.now() / 1_000);
    if (second !== this.#second) [this.#second, this.#left] = [second, maxPerSecond];
    return this.#left-- > 0;
  }
}

function tooMany(): SylphError {
  return new SylphError('too_many_sessions', `more than ${maxAtOnce} calls at once or ${maxPerSecond} in a second`, {
    hint: 'Try again in a second.',
  });
}

function failed(thrown: unknown): Answer {
  const error = shownFailure(thrown);
  return json(error.status, toErrorBody(error));
}
