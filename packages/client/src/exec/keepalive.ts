/** Notices a connection that died without a word: pings, and calls `dead` when nothing was heard for `stallMs` although we were listening. */
export class Keepalive {
  #heardAt = performance.now();
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(options: { stallMs: number; ping: () => void; listening: () => boolean; dead: () => void }) {
    this.#timer = setInterval(() => {
      // While the reader holds the socket back, silence says nothing.
      if (!options.listening()) this.heard();
      else if (performance.now() - this.#heardAt > options.stallMs) {
        this.stop();
        options.dead();
      } else options.ping();
    }, options.stallMs / 3);
  }

  heard(): void {
    this.#heardAt = performance.now();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
