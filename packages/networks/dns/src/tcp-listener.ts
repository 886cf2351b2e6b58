import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { lengthOf } from './exchange.ts';
import { maxQueryBytes } from './message.ts';
import type { Ask } from './udp-listener.ts';

/** Connections of all sprites. */
const maxConnections = 1_024;
/** A connection on which nothing comes or goes for so long is ended. */
const idleMs = 10_000;
/** Questions on one connection. */
const maxQuestions = 1_000;

/** Counts a connection of an address in, if it may have one; the answer counts it out. */
export type Admit = (remoteAddress: string) => (() => void) | undefined;

/** Listens for questions over TCP; rejects where the address cannot be had. Dispose it to end. */
export async function listenTcp(
  { address, port }: { address: string; port: number },
  { ask, admit }: { ask: Ask; admit: Admit },
): Promise<AsyncDisposable & { port: number }> {
  const sockets = new Set<Socket>();
  const server: Server = createServer({ noDelay: true }, (socket) => {
    const leave = admit(socket.remoteAddress ?? '');
    if (!leave) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.once('close', () => {
      sockets.delete(socket);
      leave();
    });
    serve(socket, ask);
  });
  server.maxConnections = maxConnections;
  server.listen({ host: address, port, ipv6Only: true, exclusive: true });
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** Questions of a connection are answered one after the other: what it sends meanwhile waits in the kernel. */
function serve(socket: Socket, ask: Ask): void {
  // Whoever breaks off hears no answer.
  socket.on('error', () => undefined);
  socket.setTimeout(idleMs, () => socket.destroy());
  let unread = Buffer.alloc(0);
  let questions = 0;
  const next = (): void => {
    const length = unread.length < 2 ? undefined : unread.readUInt16BE(0);
    if (length !== undefined && (length === 0 || length > maxQueryBytes || questions >= maxQuestions)) {
      socket.destroy();
      return;
    }
    if (length === undefined || unread.length < 2 + length) {
      socket.resume();
      return;
    }
    socket.pause();
    questions += 1;
    const question = unread.subarray(2, 2 + length);
    unread = unread.subarray(2 + length);
    ask(socket.remoteAddress ?? '', question, (answer) => {
      if (!answer) socket.destroy();
      if (!answer || socket.destroyed) return;
      socket.write(Buffer.concat([lengthOf(answer), answer]), () => {
        if (!socket.destroyed) next();
      });
    });
  };
  socket.on('data', (chunk: Buffer) => {
    unread = Buffer.concat([unread, chunk]);
    if (!socket.isPaused()) next();
  });
}
