import type { AttachRequest, ExecRequest, ExecSession } from '@sylph/client';
import { BrowserWatch } from '../browser/browser-watch.ts';
import type { OptionSpec } from '../command.ts';
import type { Context } from '../context.ts';
import { Interrupted } from '../failure.ts';
import { AutoForward } from '../ports/auto-forward.ts';
import { watch, runPlain } from './plain.ts';
import { explainLoss } from './lost.ts';
import { isInteractive, runOnTerminal, type ConnectionState } from './on-terminal.ts';
import { StopSignals } from './stop-signals.ts';

/** Option of everything that opens a session. */
export const openBrowser = {
  kind: 'flag',
  description:
    'open the web addresses that programs in its terminal ask for, in the browser here; SYLPH_OPEN_BROWSER=1 too',
} as const satisfies OptionSpec;

/** A session about to be opened; `watching` has to be passed on to the client. */
export type OpenSession = (
  watching: Pick<ExecRequest & AttachRequest, 'signal' | 'onConnection' | 'onDropped' | 'onMessage'>,
) => Promise<ExecSession>;

/** Opens a session, speaks to it from our terminal or our pipes, and returns the exit code of the command; 0 after detaching. */
export async function runSession(
  context: Context,
  options: {
    sprite: string;
    waitingFor: string;
    stdin: boolean;
    forward: boolean;
    openBrowser: boolean;
    open: OpenSession;
  },
): Promise<number> {
  const { out } = context;
  const control = new AbortController();
  const connection: ConnectionState = { connected: true, remark: (text) => out.note(text) };
  // Nobody would read where a port can be reached.
  const forwarding = options.forward && !out.json && process.stderr.isTTY;
  await using forwards = forwarding
    ? new AutoForward({
        client: await context.client(),
        sprite: options.sprite,
        remark: (text) => connection.remark(text),
      })
    : undefined;
  const notes = watch({ note: (text) => out.note(process.stdin.isRaw ? `\r\n${text}\r` : text) });
  using signals = new StopSignals({
    leave: (reason) => control.abort(reason),
    warn: (text) => out.note(`sylph: ${text}`),
  });

  const session = await out.waiting(options.waitingFor, () =>
    options.open({
      ...notes,
      onMessage: (message) => {
        notes.onMessage(message);
        forwards?.heard(message);
      },
      signal: control.signal,
      onConnection: (event) => {
        connection.connected = event.type === 'resumed';
        notes.onConnection(event);
      },
    }),
  );
  const browser = new BrowserWatch({
    opens: options.openBrowser || context.env['SYLPH_OPEN_BROWSER'] === '1',
    remark: (text) => connection.remark(text, { lasting: true }),
    forward: forwards === undefined ? undefined : (ports) => forwards.ask(ports),
  });
  // A program that reads our output gets all of it.
  const output = session.tty && process.stdout.isTTY ? browser.filter(session.output) : session.output;
  if (session.tty && isInteractive()) {
    // From here on the terminal deals with signals: it has to be put back first.
    signals[Symbol.dispose]();
    const end = await runOnTerminal(session, { connection, output }).catch((thrown: unknown) => {
      throw explainLoss(thrown, { id: session.id, sprite: options.sprite });
    });
    if (end.how === 'exited') return end.code;
    out.note(
      `\r\ndetached; session ${session.id} of ${options.sprite} goes on. Come back with: sylph sessions attach ${session.id} -s ${options.sprite}`,
    );
    return 0;
  }
  signals.forwardTo((name) => session.kill(name));
  stdoutClosed(() => {
    session.kill('HUP');
    session.detach();
  });
  try {
    return await runPlain(session, { stdin: options.stdin, output });
  } catch (thrown) {
    if (thrown instanceof Interrupted) out.note(`sylph: left session ${session.id} of ${options.sprite}`);
    throw explainLoss(thrown, { id: session.id, sprite: options.sprite });
  }
}

/** Nobody reads our output any more: the command shall not work for nothing. The process itself ends by main's rule. */
function stdoutClosed(stop: () => void): void {
  process.stdout.prependOnceListener('error', stop);
}
