import type { Session } from '@sylph/engine';

/**
 * A client of a session. Of a shell or a file server it lets the sprite sleep: somebody is there who will send something. Of a command, whose client only waits for its end, it keeps the sprite awake as `sylph exec` does,
 * until nothing was heard of either for `silenceMs`. Dispose it when the client leaves.
 */
export class ClientHold implements Disposable {
  readonly #session: Session;
  readonly #silenceMs: number;
  readonly #attached: Disposable;
  #awake: Disposable | undefined;
  #heardAt = performance.now();
  #timer: NodeJS.Timeout | undefined;

  /** `silenceMs` 0: it never keeps the sprite awake. */
  constructor(session: Session, silenceMs: number) {
    this.#session = session;
    this.#silenceMs = silenceMs;
    this.#attached = session.attach({ awake: false });
    this.heard();
  }

  /** Bytes flow. */
  heard(): void {
    this.#heardAt = performance.now();
    if (this.#silenceMs === 0 || this.#awake !== undefined) return;
    this.#awake = this.#session.attach();
    this.#look(this.#silenceMs);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#awake?.[Symbol.dispose]();
    this.#attached[Symbol.dispose]();
  }

  #look(inMs: number): void {
    this.#timer = setTimeout(() => {
      const leftMs = this.#heardAt + this.#silenceMs - performance.now();
      if (leftMs > 0) return this.#look(leftMs + 1);
      this.#awake?.[Symbol.dispose]();
      this.#awake = undefined;
    }, inMs).unref();
  }
}
