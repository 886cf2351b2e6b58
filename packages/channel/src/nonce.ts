import type net from 'node:net';
import { agentFailed } from './failure.ts';

/** Most bytes of an earlier life that can lie in the rings and buffers in front of the nonce. */
export const maxStaleBytes = 8 * 1024 * 1024;

/**
 * Writes the nonce to a paused socket and discards what comes until the peer's has gone by. Leaves the socket paused, what followed the nonce put back, no write
 * under way: a write that ends after an HTTP/2 session took the socket over would end the whole process (an assertion of Node's).
 * Rejects with `agent_failed` after {@link maxStaleBytes} or when the socket closes; with the abort reason when `signal` fires. The socket is then of no use.
 */
export async function exchangeNonce(socket: net.Socket, nonce: Buffer, signal: AbortSignal): Promise<void> {
  const written = new Promise<void>((resolve, reject) =>
    socket.write(nonce, (error) => (error ? reject(agentFailed('the nonce could not be written', error)) : resolve())),
  );
  const { promise: aborted, reject: abort } = Promise.withResolvers<never>();
  const onAbort = () => abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await Promise.race([Promise.all([written, discardThroughNonce(socket, nonce, signal)]), aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** Reads until the nonce has gone by. */
function discardThroughNonce(socket: net.Socket, nonce: Buffer, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    let staleBytes = 0;
    let tail: Buffer = Buffer.alloc(0);
    const finish = (settle: () => void) => {
      socket.off('data', take).off('close', closed);
      signal.removeEventListener('abort', abort);
      settle();
    };
    const take = (chunk: Buffer) => {
      const seen = tail.length === 0 ? chunk : Buffer.concat([tail, chunk]);
      const at = seen.indexOf(nonce);
      if (at >= 0) {
        const rest = seen.subarray(at + nonce.length);
        finish(() => {
          socket.pause();
          if (rest.length > 0) socket.unshift(rest);
          resolve();
        });
        return;
      }
      staleBytes += chunk.length;
      if (staleBytes > maxStaleBytes)
        finish(() => reject(agentFailed(`no nonce among ${maxStaleBytes} bytes from the data port`)));
      tail = Buffer.from(seen.subarray(Math.max(0, seen.length - nonce.length + 1)));
    };
    const closed = () => finish(() => reject(agentFailed('the data port closed before its nonce')));
    const abort = () => finish(() => reject(signal.reason));
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    signal.addEventListener('abort', abort, { once: true });
    socket.on('data', take).on('close', closed);
    socket.resume();
    if (socket.destroyed) closed();
  });
}
