import { deferred } from '../deferred.ts';
import { overflowCode, type Socket, type SocketEvents } from './transport.ts';

/** Unsent bytes beyond which `send` makes its caller wait, and how often it looks: the standard has no event for it. */
const highWaterBytes = 2 ** 18;
const drainLookMs = 10;
/** Bytes that may wait for a reader that rests. */
const maxHeldBytes = 16 * 2 ** 20;
const closeMs = 2000;
/** Close code of a connection that ended without a goodbye (RFC 6455, 7.4.1). */
const abnormalCode = 1006;

/** A standard WebSocket, once it is open. Its owner hears of its end from the moment it was open. */
export function webSocketOf(ws: WebSocket, events: SocketEvents): Socket {
  const over = deferred();
  let opened = false;
  let ended = false;
  let paused = false;
  const held: (Uint8Array | string)[] = [];
  let heldBytes = 0;
  let end: { code: number; reason: string } | undefined;

  /** Tells what waits, and the end behind it. */
  const tell = (): void => {
    while (!paused && !ended && held.length > 0) {
      const message = held.shift() as Uint8Array | string;
      heldBytes -= message.length;
      events.message(message);
    }
    if (end !== undefined && held.length === 0 && !ended) {
      ended = true;
      over.resolve();
      if (opened) events.closed(end);
    }
  };
  const finish = (code: number, reason: string): void => {
    end ??= { code, reason };
    tell();
  };
  /** Ends without telling what waits. */
  const drop = (code: number, reason: string): void => {
    held.length = 0;
    finish(code, reason);
    ws.close();
  };

  ws.addEventListener('open', () => (opened = true));
  ws.addEventListener('message', (event: MessageEvent) => {
    const data = event.data as string | ArrayBuffer;
    if (end !== undefined) return;
    const message = typeof data === 'string' ? data : new Uint8Array(data);
    held.push(message);
    heldBytes += message.length;
    if (heldBytes > maxHeldBytes) drop(overflowCode, 'nobody read what came');
    else tell();
  });
  ws.addEventListener('close', ({ code, reason }) => finish(code, reason));

  return {
    async send(data) {
      if (end !== undefined || ws.readyState !== 1) return;
      // No memory here is shared, of which the types of browsers cannot be sure.
      const message: string | Uint8Array<ArrayBuffer> = data as string | Uint8Array<ArrayBuffer>;
      ws.send(message);
      while (ws.bufferedAmount > highWaterBytes && end === undefined)
        await Promise.race([new Promise((resolve) => setTimeout(resolve, drainLookMs)), over.promise]);
    },
    pause() {
      paused = true;
    },
    resume() {
      paused = false;
      tell();
    },
    close(code) {
      ws.close(code);
      const timer = setTimeout(() => finish(abnormalCode, ''), closeMs);
      void over.promise.then(() => clearTimeout(timer));
    },
    terminate: () => drop(abnormalCode, ''),
  };
}
