import net from 'node:net';

/** Sends bytes as they are and reads to the end of the connection, or until `timeoutMs` without more. */
export async function raw(
  port: number,
  bytes: string,
  options: { timeoutMs?: number; end?: boolean } = {},
): Promise<string> {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  let said = '';
  return new Promise((resolve) => {
    const done = (): void => {
      socket.destroy();
      resolve(said);
    };
    socket.setTimeout(options.timeoutMs ?? 500, done);
    socket.on('data', (chunk) => (said += chunk.toString('latin1')));
    // A reset is an answer too: what came before it is looked at.
    socket.on('error', () => {});
    socket.on('end', done);
    socket.on('close', done);
    socket.write(bytes, 'latin1');
    if (options.end === true) socket.end();
  });
}

/** A TCP server of this machine that does with each connection what it likes; its port. */
export async function rawServer(serve: (socket: net.Socket) => void): Promise<{ port: number } & AsyncDisposable> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    // Tests break connections on purpose.
    socket.on('error', () => {});
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
