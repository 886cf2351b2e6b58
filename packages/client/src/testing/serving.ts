import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SylphClient } from '../node/client.ts';
import type { ClientOptions } from '../options.ts';

/** A server that answers as `answer` says, and a client of it with these options. */
export async function serving(
  options: Omit<ClientOptions, 'baseUrl' | 'token'>,
  answer: RequestListener,
): Promise<AsyncDisposable & { client: SylphClient }> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    client: new SylphClient({ baseUrl, token: 'acme/a/b/c', ...options }),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
