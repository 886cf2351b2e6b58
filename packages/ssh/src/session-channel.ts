import type { Session } from '@sylph/engine';
import { signalName, SylphError } from '@sylph/model';
import type { ServerChannel, Session as SshSession } from 'ssh2';
import { ChannelWriter } from './channel-writer.ts';
import { ClientHold } from './client-hold.ts';
import { sessionRequest, takeVariable, type Wanted, type Wishes } from './command.ts';
import type { AgentForward } from './agent-forward.ts';
import type { ConnectionParts, Dismissible } from './connection-parts.ts';
import { exitOf } from './exit.ts';

/** Input of a channel that its session has not taken, at which the channel is no longer read. */
const maxUnwrittenBytes = 256 * 1024;
const defaultSize = { cols: 80, rows: 24 };
const maxSide = 10_000;
const maxTermLength = 64;
/** Exit status of what could not even be begun: that of ssh itself. */
const failedStatus = 255;

/** A `session` channel: at first what the client wishes for, then one shell, command or file server. */
export class SessionChannel implements Dismissible {
  readonly #parts: ConnectionParts;
  readonly #agent: AgentForward;
  readonly #wishes: Wishes = { env: {}, tty: null };
  /** Fires when the channel is closed, or its connection. */
  readonly #gone = new AbortController();
  #session: Session | undefined;
  #wantsAgent = false;
  #channel: ServerChannel | undefined;
  #writer: ChannelWriter | undefined;

  constructor(session: SshSession, parts: ConnectionParts, agent: AgentForward) {
    this.#parts = parts;
    this.#agent = agent;
    this.#listen(session);
  }

  async dismiss(reason: string): Promise<void> {
    await this.#tell(reason);
    if (this.#channel !== undefined) end(this.#channel, undefined);
    this.#gone.abort();
  }

  /** Says something to the person at the other end, beside the output. Never rejects. */
  async #tell(message: string): Promise<void> {
    const newline = this.#wishes.tty === null ? '\n' : '\r\n';
    await this.#writer?.write(Buffer.from(`${newline === '\n' ? '' : newline}sylph: ${message}${newline}`), 'stderr');
  }

  #listen(session: SshSession): void {
    session.on('pty', (accept, _reject, info) => {
      this.#wishes.tty = { ...sizeOf(info), term: termOf((info as { term?: string }).term) };
      accept?.();
    });
    session.on('env', (accept, reject, { key, val }) => {
      if (takeVariable(this.#wishes, key, val)) accept?.();
      else reject?.();
    });
    session.on('window-change', (accept, _reject, info) => {
      accept?.();
      this.#resize(sizeOf(info));
    });
    session.on('signal', (accept, _reject, { name }) => {
      accept?.();
      this.#signal(name);
    });
    session.on('auth-agent', (accept) => {
      this.#wantsAgent = true;
      accept?.();
    });
    session.on('shell', (accept) => this.#begin(session, accept(), { kind: 'shell' }));
    session.on('exec', (accept, _reject, { command }) =>
      this.#begin(session, accept(), { kind: 'exec', line: command }),
    );
    session.on('subsystem', (accept, reject, { name }) => {
      if (name === 'sftp') this.#begin(session, accept(), { kind: 'sftp' });
      // Of a request that wants no answer there is none.
      else (reject as (() => void) | undefined)?.();
    });
  }

  /** From here on there is a stream. It was accepted at once: an end of input that comes meanwhile would make that impossible. */
  #begin(session: SshSession, channel: ServerChannel | undefined, wanted: Wanted): void {
    if (channel === undefined) return;
    const { writer, link, inflow } = this.#parts;
    const gone = (): void => this.#gone.abort();
    // The channel's own `close` waits until its input is read.
    session.once('close', gone);
    channel.once('close', gone);
    channel.on('error', gone);
    link.over.addEventListener('abort', gone, { once: true });
    this.#gone.signal.addEventListener('abort', () => link.over.removeEventListener('abort', gone), { once: true });
    this.#writer = new ChannelWriter(channel, writer, this.#gone.signal);
    this.#gone.signal.addEventListener('abort', inflow.add(channel), { once: true });
    this.#channel = channel;
    this.#parts.dismissibles.add(this);
    void this.#serve(channel, wanted).finally(() => this.#parts.dismissibles.delete(this));
  }

  /** Never rejects. */
  async #serve(channel: ServerChannel, wanted: Wanted): Promise<void> {
    try {
      const session = await this.#start(wanted);
      const isAwaited = wanted.kind === 'exec' && this.#wishes.tty === null;
      using hold = new ClientHold(session, isAwaited ? this.#parts.deps.limits.commandSilenceMs : 0);
      this.#session = session;
      this.#passInput(channel, session, hold);
      await this.#passOutput(channel, session, hold);
    } catch (error) {
      if (this.#gone.signal.aborted) return;
      const { message, code, hint } = SylphError.from(error);
      if (code === 'internal') this.#parts.log.warn({ err: error }, 'a channel failed');
      await this.#tell(
        code === 'internal' ? 'something went wrong; the log of sylphd says more' : `${message}. ${hint}`,
      );
      end(channel, failedStatus);
    }
  }

  async #start(wanted: Wanted): Promise<Session> {
    const { link, deps, environment } = this.#parts;
    using lease = await link.use();
    const more = { ...environment, ...(this.#wantsAgent ? await this.#agent.variables() : {}) };
    return await lease.sessions.start(sessionRequest(wanted, this.#wishes, { view: lease.view, more, deps }));
  }

  #passInput(channel: ServerChannel, session: Session, hold: ClientHold): void {
    let unwrittenBytes = 0;
    channel.on('data', (chunk: Buffer) => {
      this.#parts.link.wake();
      hold.heard();
      unwrittenBytes += chunk.length;
      if (unwrittenBytes > maxUnwrittenBytes) channel.pause();
      const written = (): void => {
        unwrittenBytes -= chunk.length;
        if (unwrittenBytes <= maxUnwrittenBytes / 2) channel.resume();
      };
      // A failed write means that the session has ended: its end is told by its output.
      session.write(chunk).then(written, written);
    });
    channel.once('end', () => {
      // A terminal whose client has left is hung up, which is something else than an end of input.
      if (session.request.tty !== null && this.#gone.signal.aborted) return;
      if (!this.#gone.signal.aborted) this.#parts.link.wake();
      session.endInput();
    });
  }

  async #passOutput(channel: ServerChannel, session: Session, hold: ClientHold): Promise<void> {
    const writer = this.#writer as ChannelWriter;
    for await (const event of session.read({ offset: 0, signal: this.#gone.signal })) {
      switch (event.type) {
        case 'output':
          await writer.write(event.bytes, event.stream);
          this.#parts.link.used();
          hold.heard();
          break;
        case 'dropped':
          await this.#tell(`${event.to - event.from} bytes of output are missing here`);
          break;
        case 'end': {
          const { status, message } = exitOf(event.end);
          if (message !== undefined) await this.#tell(message);
          end(channel, status);
          break;
        }
        default:
          event satisfies never;
      }
    }
  }

  #resize(size: { cols: number; rows: number }): void {
    if (this.#wishes.tty === null) return;
    Object.assign(this.#wishes.tty, size);
    this.#session?.resize(size);
  }

  #signal(name: string): void {
    const known = signalName.safeParse(name.replace(/^SIG/, ''));
    if (!known.success || this.#session === undefined) return;
    this.#parts.link.wake();
    // The protocol has no answer to a signal; of a session that has ended the client hears anyway.
    this.#session.signal(known.data).catch(() => {});
  }
}

function end(channel: ServerChannel, status: number | string | undefined): void {
  if (typeof status === 'number') channel.exit(status);
  else if (status !== undefined) channel.exit(status, false, '');
  channel.end();
}

function sizeOf({ cols, rows }: { cols: number; rows: number }): { cols: number; rows: number } {
  const fits = (side: number): boolean => side > 0 && side <= maxSide;
  return { cols: fits(cols) ? cols : defaultSize.cols, rows: fits(rows) ? rows : defaultSize.rows };
}

function termOf(term: string | undefined): string {
  return term !== undefined && term.length <= maxTermLength && /^[\w.+-]+$/.test(term) ? term : 'xterm-256color';
}
