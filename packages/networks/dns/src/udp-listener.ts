import dgram from 'node:dgram';
import { isIPv6 } from 'node:net';
import { maxQueryBytes } from './message.ts';

/** Unsent answers of one socket, as the kernel keeps them. */
const socketBufferBytes = 256 * 1024;

/** Where a question comes from, and what is to be called with its answer; undefined: it gets none. */
export type Ask = (remoteAddress: string, question: Buffer, answer: (bytes: Buffer | undefined) => void) => void;

/** Listens for questions over UDP; rejects where the address cannot be had. Dispose it to end. */
export async function listenUdp(
  { address, port }: { address: string; port: number },
  ask: Ask,
): Promise<AsyncDisposable & { port: number }> {
  const socket = dgram.createSocket({
    ...(isIPv6(address) ? { type: 'udp6' as const, ipv6Only: true } : { type: 'udp4' as const }),
    recvBufferSize: socketBufferBytes,
    sendBufferSize: socketBufferBytes,
  });
  let open = true;
  socket.on('message', (bytes, { address: remote, port: remotePort }) => {
    if (bytes.length > maxQueryBytes) return;
    ask(remote, bytes, (answer) => {
      // An answer that cannot be sent is asked for again.
      if (open && answer) socket.send(answer, remotePort, remote, () => undefined);
    });
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once('error', reject);
  socket.bind({ address, port, exclusive: true }, resolve);
  try {
    await promise;
  } catch (error) {
    socket.close();
    throw error;
  }
  socket.off('error', reject);
  // The kernel reports answers that found nobody; who asked has gone.
  socket.on('error', () => undefined);
  return {
    port: socket.address().port,
    [Symbol.asyncDispose]: () => {
      open = false;
      return new Promise((closed) => void socket.close(closed));
    },
  };
}
