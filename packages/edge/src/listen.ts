import http from 'node:http';
import type net from 'node:net';
import tls from 'node:tls';
import { CertificateFiles, type TlsFiles } from './certificate.ts';
import { isLoopback } from './client.ts';
import { Connections } from './connections.ts';
import type { EdgeDeps } from './deps.ts';
import { Edge } from './edge.ts';
import { parseAuthority } from './host.ts';
import { defaultEdgeLimits } from './limits.ts';

/** A handshake takes no longer, ms. */
const handshakeTimeoutMs = 15_000;

/** Where to listen. */
export interface EdgeAddress {
  host: string;
  port: number;
}

/** An edge that serves. */
export interface RunningEdge {
  readonly address: EdgeAddress;
  /** See {@link Edge.close}. Idempotent. */
  close(): Promise<void>;
}

/** Starts serving sprites. Rejects when the address cannot be listened on, or the certificate cannot be read. */
export async function startEdge(deps: EdgeDeps, at: EdgeAddress, tlsFiles?: TlsFiles): Promise<RunningEdge> {
  const edge = new Edge(deps, { tls: tlsFiles !== undefined });
  const connections = new Connections({ ...defaultEdgeLimits, ...deps.limits }, deps.trusts ?? isLoopback);
  await using stack = new AsyncDisposableStack();
  const listener = tlsFiles === undefined ? plainListener(edge) : await tlsListener(edge, tlsFiles, deps, stack);
  // Such as no descriptor left for a client: the listener goes on.
  listener.on('error', (error) => deps.log.warn({ err: error }, 'a connection to the edge could not be taken'));
  listener.prependListener('connection', (socket: net.Socket) => connections.admit(socket));
  const address = await listen(listener, at);
  stack.defer(async () => {
    const closed = new Promise((resolve) => listener.close(resolve));
    await edge.close();
    connections.destroy();
    await closed;
  });
  const owned = stack.move();
  let closing: Promise<void> | undefined;
  return { address, close: () => (closing ??= owned.disposeAsync()) };
}

/** Sends plain HTTP on to HTTPS, the same host and path, at `publicPort`. */
export async function startRedirect(at: EdgeAddress, publicPort: () => number): Promise<RunningEdge> {
  const { maxConnections, headersTimeoutMs } = defaultEdgeLimits;
  const server = http.createServer(
    { headersTimeout: headersTimeoutMs, requestTimeout: headersTimeoutMs },
    (request, response) => {
      const { hostname } = parseAuthority(request.headers.host ?? '') ?? {};
      const path = request.url?.startsWith('/') ? request.url : '/';
      const port = publicPort() === 443 ? '' : `:${publicPort()}`;
      if (hostname === undefined) response.writeHead(400);
      else response.writeHead(308, { location: `https://${hostname}${port}${path}` });
      response.end();
    },
  );
  server.maxConnections = maxConnections;
  const address = await listen(server, at);
  return {
    address,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

function plainListener(edge: Edge): net.Server {
  return edge.http1;
}

async function tlsListener(
  edge: Edge,
  files: TlsFiles,
  { log }: EdgeDeps,
  stack: AsyncDisposableStack,
): Promise<net.Server> {
  const certificate = stack.use(await CertificateFiles.open(files, log));
  const server = tls.createServer({
    ...certificate.current,
    ALPNProtocols: ['h2', 'http/1.1'],
    minVersion: 'TLSv1.2',
    handshakeTimeout: handshakeTimeoutMs,
    noDelay: true,
  });
  certificate.onChange = (pair) => server.setSecureContext(pair);
  // A server of Node's begins to watch for slow heads when it listens; this one gets its connections from us.
  server.once('listening', () => edge.http1.emit('listening'));
  server.on('secureConnection', (socket) => {
    const { alpnProtocol } = socket;
    (alpnProtocol === 'h2' ? edge.http2 : edge.http1).emit('connection', socket);
  });
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  return server;
}

async function listen(server: net.Server, { host, port }: EdgeAddress): Promise<EdgeAddress> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const bound = server.address() as net.AddressInfo;
  return { host: bound.address, port: bound.port };
}
