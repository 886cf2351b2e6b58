import type { Session } from '@sylph/engine';
import { execClientMessage, streamByte, type ExecServerMessage, type SignalName } from '@sylph/model';
import type { RawData, WebSocket } from 'ws';
import type { ApiLimits } from './deps.ts';

/** SSH agent messages of a client that is not released; ignored. */
const sshAgentByte = 5;
/** A sleeping sprite is woken by input; asked for at most this often. */
const wakeIntervalMs = 1_000;
/** Signals on their way and answers nobody has read, beyond which a client is no longer read. */
const maxPending = 16;

/** Close codes of RFC 6455, section 7.4.1. */
const unsupportedData = 1003;

/** What a client's messages are for. */
export interface ExecInput {
  socket: WebSocket;
  session: Session;
  /** Whether this client's input goes to the process. */
  stdin: boolean;
  limits: Pick<ApiLimits, 'maxUnwrittenBytes'>;
  /** Resolves when the system has it, or the client is gone. */
  tell: (message: ExecServerMessage) => Promise<void>;
  /** Makes sure that the guest runs. Never rejects. */
  wake: () => void;
}

/**
 * Passes a client's messages on to a session, in order. Input that the process does not take stops the reading of the socket, and so do signals and answers
 * that pile up. A malformed binary message closes the socket with 1003 and a reason, and
 * leaves the process alone; a control message of unknown type is ignored; one with wrong values is answered with an error. After the session's end everything is ignored.
 */
export function passInput({ socket, session, stdin, limits, tell, wake }: ExecInput): void {
  const tty = session.request.tty !== null;
  let unwrittenBytes = 0;
  let pending = 0;
  let signalsUnderWay = 0;
  /** What wakes signals that wait for others to arrive. */
  const waitingSignals: (() => void)[] = [];
  let wokenAt = 0;
  /** Of this client's window, once it has told. */
  let size: { cols: number; rows: number } | undefined;

  socket.on('message', (data: RawData, isBinary: boolean) => {
    if (session.end !== undefined) return;
    if (isBinary) onBinary(data as Buffer);
    else onText((data as Buffer).toString());
  });

  function onBinary(message: Buffer): void {
    if (tty) return write(message);
    switch (message[0]) {
      case streamByte.stdin:
        return write(message.subarray(1));
      case streamByte.stdinEof:
        if (stdin) session.endInput();
        return keepAwake();
      case sshAgentByte:
        return;
      case undefined:
        return socket.close(unsupportedData, 'an empty binary message; its first byte names the stream');
      default:
        return socket.close(
          unsupportedData,
          `unknown stream ${message[0]}; clients send 0 (stdin) and 4 (end of stdin)`,
        );
    }
  }

  function onText(text: string): void {
    const parsed = parseJson(text);
    if (parsed === undefined) return socket.close(unsupportedData, 'a text message that is not a JSON object');
    const message = execClientMessage.safeParse(parsed);
    if (!message.success) {
      if (parsed.type !== 'resize' && parsed.type !== 'signal') return;
      const fault = `${parsed.type}: wrong values`;
      return bound(tell({ type: 'error', message: fault, error: fault, code: 'invalid_request' }));
    }
    keepAwake();
    switch (message.data.type) {
      case 'resize':
        size = { cols: message.data.cols, rows: message.data.rows };
        return session.resize(size);
      case 'signal':
        return bound(pass(message.data.signal));
      default:
        return message.data satisfies never;
    }
  }

  /** Each signal is a request to the guest: of many at once most wait. */
  async function pass(name: SignalName): Promise<void> {
    if (signalsUnderWay >= maxPending) await new Promise<void>((resolve) => waitingSignals.push(resolve));
    signalsUnderWay += 1;
    await signal(name);
    signalsUnderWay -= 1;
    waitingSignals.shift()?.();
  }

  async function signal(name: SignalName): Promise<void> {
    try {
      await session.signal(name);
    } catch (thrown) {
      if (session.end !== undefined) return;
      const { message } = thrown as Error;
      await tell({ type: 'error', message, error: message, code: 'agent_failed' });
    }
  }

  /** Reads on only while not too much work is pending. `work` does not reject. */
  function bound(work: Promise<void>): void {
    pending += 1;
    if (pending > maxPending) socket.pause();
    void work.then(() => {
      pending -= 1;
      readOn();
    });
  }

  function readOn(): void {
    if (unwrittenBytes <= limits.maxUnwrittenBytes / 2 && pending <= maxPending / 2) socket.resume();
  }

  function write(bytes: Buffer): void {
    if (!stdin || bytes.length === 0) return;
    keepAwake();
    fitTerminal();
    unwrittenBytes += bytes.length;
    if (unwrittenBytes > limits.maxUnwrittenBytes) socket.pause();
    const written = (): void => {
      unwrittenBytes -= bytes.length;
      readOn();
    };
    // A failed write means that the session has ended: its end is told by its output.
    session.write(bytes).then(written, written);
  }

  /** With several windows on one terminal it has the size of the one that is typed in. */
  function fitTerminal(): void {
    if (size !== undefined && (session.size?.cols !== size.cols || session.size.rows !== size.rows))
      session.resize(size);
  }

  function keepAwake(): void {
    if (Date.now() - wokenAt < wakeIntervalMs) return;
    wokenAt = Date.now();
    wake();
  }
}

function parseJson(text: string): { type?: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    // The caller tells the client.
    return undefined;
  }
}
