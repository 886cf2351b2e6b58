import type { IncomingMessage, ServerResponse } from 'node:http';
import { encodeFrame, execFramesType } from '@sylph/model';
import type { WebSocket } from 'ws';
import { Refusal, type Json } from './fake-answers.ts';
import { FakeSession, type FakeCommand } from './fake-session.ts';

/** What a test may bend of exec. */
export interface FakeExecFaults {
  /** Whether sessions can be taken up again at an output offset. */
  keepsOffsets: boolean;
  /** HTTP exec answers in frames, torn into pieces so long; 0: one chunk is one frame. */
  framesBytes: number;
  /** Whether `session_info` says how much input was taken. */
  tellsInput: boolean;
}

/** Exec of the fake server: real local processes behind the public API's routes. */
export class FakeExec {
  readonly sessions = new Map<string, FakeSession>();
  /** Told on every socket behind `session_info`. */
  portMessages: Json[] = [];
  readonly #faults: FakeExecFaults;
  #counter = 0;

  constructor(faults: FakeExecFaults) {
    this.#faults = faults;
  }

  /** Starts a command as a query asks. */
  start(url: URL, stdin: boolean, tty: boolean): FakeSession {
    const env = Object.fromEntries(
      url.searchParams
        .getAll('env')
        .map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
    );
    const command: FakeCommand = {
      argv: url.searchParams.getAll('cmd'),
      env,
      dir: url.searchParams.get('dir') ?? undefined,
      tty,
      stdin,
    };
    const session = new FakeSession(String(++this.#counter), command);
    this.sessions.set(session.id, session);
    return session;
  }

  /** Answer of `GET …/exec`. */
  list(): Json {
    const sessions = [...this.sessions.values()]
      .filter((session) => session.exitCode === undefined)
      .map((session) => ({
        id: session.id,
        command: session.command.argv.join(' '),
        workdir: session.command.dir ?? '/home/sprite',
        created: session.createdAt.toISOString(),
        tty: session.command.tty,
        bytes_per_second: 0,
        is_active: session.sockets.size > 0,
        last_activity: session.createdAt.toISOString(),
      }));
    return { count: sessions.length, sessions };
  }

  /** `POST …/exec`. */
  async http(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const session = this.start(url, url.searchParams.get('stdin') === 'true', false);
    if (session.command.stdin) {
      void (async () => {
        for await (const chunk of request) await session.write(chunk as Buffer);
        session.endInput();
      })().catch(() => session.endInput());
    } else request.resume();
    if (request.headers.accept === execFramesType && this.#faults.framesBytes > 0)
      return this.#frames(response, session);
    response.writeHead(200, { 'content-type': 'application/octet-stream' });
    // Node joins chunks that are written before earlier ones are out.
    const write = (bytes: Buffer): Promise<void> => new Promise((resolve) => response.write(bytes, () => resolve()));
    for await (const entry of session.read(0, () => !response.destroyed))
      await write(Buffer.concat([Buffer.of(entry.stream), entry.bytes]));
    await write(Buffer.of(3, await session.exited));
    response.end();
  }

  /** The answer in frames, torn into pieces of `framesBytes`. */
  async #frames(response: ServerResponse, session: FakeSession): Promise<void> {
    response.writeHead(200, { 'content-type': execFramesType });
    const frames: Buffer[] = [];
    for await (const { stream, bytes } of session.read(0, () => !response.destroyed))
      frames.push(encodeFrame(stream, bytes));
    const code = await session.exited;
    const end = code === 99 ? { lost: 'the VM died' } : { exit_code: code };
    const all = Buffer.concat([...frames, encodeFrame(3, Buffer.from(JSON.stringify(end)))]);
    for (let at = 0; at < all.length; at += this.#faults.framesBytes)
      response.write(all.subarray(at, at + this.#faults.framesBytes));
    response.end();
  }

  /** `POST …/exec/{id}/kill`. */
  async kill(response: ServerResponse, id: string, url: URL): Promise<void> {
    const session = this.sessions.get(id);
    if (session === undefined) throw new Refusal(404, 'session_not_found', `session not found: ${id}`);
    if (session.exitCode !== undefined) throw new Refusal(410, 'session_exited', `session ${id} has ended`);
    const signal = (url.searchParams.get('signal') ?? 'TERM').replace(/^SIG/, '');
    session.signal(signal);
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    response.write(`${JSON.stringify({ type: 'signal', message: 'Signaling', signal, pid: session.pid })}\n`);
    const code = await session.exited;
    response.end(
      `${JSON.stringify({ type: 'exited', message: 'Process exited' })}\n${JSON.stringify({ type: 'complete', exit_code: code })}\n`,
    );
  }

  /** Serves a socket of `GET …/exec` until the command or the client leaves. */
  async serve(ws: WebSocket, session: FakeSession, isOwner: boolean, offset: number): Promise<void> {
    const { tty, argv } = session.command;
    session.sockets.add(ws);
    ws.on('error', () => undefined);
    ws.on('close', () => {
      session.sockets.delete(ws);
      session.wake();
    });
    ws.on('message', (data: Buffer, isBinary: boolean) => {
      if (!isBinary) return hearText(session, data.toString());
      if (!tty && data[0] === 4) return session.endInput();
      ws.pause();
      void session.write(tty ? data : data.subarray(1)).then(() => ws.resume());
    });
    const position = {
      ...(this.#faults.keepsOffsets ? { offset } : {}),
      ...(this.#faults.tellsInput ? { input_offset: session.inputBytes } : {}),
    };
    ws.send(
      JSON.stringify({
        type: 'session_info',
        session_id: session.id,
        command: argv.join(' '),
        created: 0,
        cols: 0,
        rows: 0,
        is_owner: isOwner,
        tty,
        ...position,
      }),
    );
    for (const message of this.portMessages) ws.send(JSON.stringify(message));
    for await (const { stream, bytes } of session.read(offset, () => ws.readyState === ws.OPEN)) {
      await new Promise<void>((resolve) =>
        ws.send(tty ? bytes : Buffer.concat([Buffer.of(stream), bytes]), () => resolve()),
      );
    }
    if (session.exitCode === undefined || ws.readyState !== ws.OPEN) return;
    if (!tty) ws.send(Buffer.of(3, session.exitCode));
    ws.send(
      JSON.stringify({ type: 'exit', exit_code: session.exitCode, code: session.exitCode, session_id: session.id }),
    );
    ws.close(session.exitCode === 0 ? 1000 : 4000 + session.exitCode);
  }
}

function hearText(session: FakeSession, text: string): void {
  const message = JSON.parse(text) as { type: string; cols: number; rows: number; signal: string };
  if (message.type === 'resize') session.resizes.push({ cols: message.cols, rows: message.rows });
  if (message.type === 'signal') session.signal(message.signal);
}
