import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Connects once. The socket is paused: nothing that arrives is lost before somebody listens. Rejects when it cannot connect or `signal` fires. */
export function connectOnce(path: string, signal: AbortSignal): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const socket = new net.Socket();
    const abort = () => fail(signal.reason);
    const fail = (reason: unknown) => {
      signal.removeEventListener('abort', abort);
      socket.destroy();
      reject(reason);
    };
    signal.addEventListener('abort', abort, { once: true });
    socket.once('error', fail);
    socket.connect({ path }, () => {
      signal.removeEventListener('abort', abort);
      socket.off('error', fail);
      // A failure between here and the owner's own listener shows as `close`, which every owner looks at.
      socket.on('error', () => {});
      socket.pause();
      resolve(socket);
    });
  });
}

/** Connects as soon as somebody listens. Rejects with the abort reason of `signal`. */
export async function connectWhenListening(path: string, signal: AbortSignal): Promise<net.Socket> {
  for (let delayMs = 1; ; delayMs = Math.min(delayMs * 1.5, 20)) {
    try {
      return await connectOnce(path, signal);
    } catch {
      // Nobody listens yet; the deadline in `signal` ends this, with its own reason.
      signal.throwIfAborted();
      await sleep(delayMs, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}
