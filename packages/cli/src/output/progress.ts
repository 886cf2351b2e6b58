import { paint } from './style.ts';

const showAfterMs = 2000;
const beatMs = 200;
const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const eraseLine = '\r\x1b[K';

/**
 * One line on stderr that tells what is waited for and for how long. Only on a terminal, only after 2 s, and gone when the wait is over. It hides no cursor and
 * installs no handlers, so that there is nothing to put back when the process is killed.
 */
export class Progress {
  #text: string;
  readonly #startedAt = performance.now();
  #timer: ReturnType<typeof setInterval> | undefined;
  #shown = false;

  private constructor(text: string) {
    this.#text = text;
    this.#timer = setInterval(() => this.#draw(), beatMs);
  }

  /** Runs `work` with a line that says `what`; `work` may say more precisely what is going on. */
  static async during<T>(
    what: string,
    visible: boolean,
    work: (say: (text: string) => void) => Promise<T>,
  ): Promise<T> {
    if (!visible || !process.stderr.isTTY) return work(() => undefined);
    const progress = new Progress(what);
    try {
      return await work((text) => (progress.#text = text));
    } finally {
      progress.#stop();
    }
  }

  #draw(): void {
    const elapsedMs = performance.now() - this.#startedAt;
    if (elapsedMs < showAfterMs) return;
    this.#shown = true;
    const frame = frames[Math.floor(elapsedMs / beatMs) % frames.length] ?? '';
    const time = `… ${Math.floor(elapsedMs / 1000)} s`;
    const room = Math.max(10, (process.stderr.columns || 80) - time.length - 4);
    process.stderr.write(
      `${eraseLine}${paint('quiet', frame, process.stderr)} ${this.#text.slice(0, room)}${paint('quiet', time, process.stderr)}`,
    );
  }

  #stop(): void {
    clearInterval(this.#timer);
    if (this.#shown) process.stderr.write(eraseLine);
  }
}
