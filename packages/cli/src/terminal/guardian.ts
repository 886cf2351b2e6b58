import { spawn, spawnSync, type ChildProcess } from 'node:child_process';

/** It answers in milliseconds. */
const sttyMs = 2000;

/**
 * Reads what would put the terminal back, a line each time that changes, as a printf format. When the pipe ends and the last line is not empty, the one who wrote it
 * was killed: then the line is printed. The line discipline is put back only while our process group is still in the foreground; otherwise a job-control shell has taken the
 * terminal over, has put it back itself, and may be editing its next line.
 */
const script = `
trap '' INT HUP TERM QUIT TSTP TTIN TTOU PIPE
saved=$1
last=
while IFS= read -r line; do last=$line; done
[ -n "$last" ] || exit 0
printf "$last"
read -r _ _ _ _ group _ _ front _ < "/proc/$$/stat" 2>/dev/null || front=
[ -n "$saved" ] && [ "\${group:-0}" = "$front" ] && stty "$saved" <&3
exit 0
`;

/** A small process that puts the terminal back when this one is killed in a way it cannot see: SIGKILL, or a crash of Node itself. */
export class Guardian {
  readonly #child: ChildProcess;
  #told = '';

  /** Call before the terminal is changed. */
  constructor() {
    const { stdout } = spawnSync('stty', ['-g'], {
      stdio: ['inherit', 'pipe', 'ignore'],
      encoding: 'utf8',
      timeout: sttyMs,
    });
    this.#child = spawn('/bin/sh', ['-c', script, 'sylph-guardian', (stdout ?? '').trim()], {
      stdio: ['pipe', 'inherit', 'ignore', 0],
    });
    // It is a second line of defence: without it everything but SIGKILL is still covered.
    this.#child.on('error', () => undefined);
    this.#child.stdin?.on('error', () => undefined);
    this.#child.unref();
    (this.#child.stdin as unknown as { unref?: () => void } | null)?.unref?.();
  }

  /** What would put the terminal back now. */
  tell(restore: string): void {
    // Never empty while it guards: the line discipline counts too. SGR 0 changes nothing that matters to a shell.
    const line = printfFormat(`${restore}\x1b[0m`);
    if (line === this.#told) return;
    this.#told = line;
    this.#child.stdin?.write(`${line}\n`);
  }

  /** All is put back: it leaves without a word. */
  end(): void {
    this.#child.stdin?.end('\n');
  }
}

/** A text as printf's format, in octal where it is not a plain letter or digit. */
function printfFormat(text: string): string {
  return text.replace(/[^A-Za-z0-9]/g, (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`);
}
