import type { Socket } from 'node:net';
import type { AuthContext, Connection, Session as SshSession } from 'ssh2';
import { AgentForward } from './agent-forward.ts';
import { Authenticator, type Entry } from './auth.ts';
import { ChannelCount } from './channel-count.ts';
import { ConnectionWriter } from './channel-writer.ts';
import type { ConnectionParts, Dismissible } from './connection-parts.ts';
import type { SshDeps, SshLog } from './deps.ts';
import { serveForwardsIn } from './forward-in.ts';
import { Inflow } from './inflow.ts';
import { RemoteForwards } from './remote-forwards.ts';
import { SessionChannel } from './session-channel.ts';
import { SpriteLink } from './sprite-link.ts';
import type { TokenFailures } from './token-failures.ts';

/** A client that reads a goodbye leaves by itself, OpenSSH's without showing what it reads together with the end of the connection; ms until that end comes anyway. */
const leaveMs = 500;
/** Longest wait for a goodbye to get out, ms. */
const goodbyeMs = 1_500;

/** One client: lets somebody in to one sprite, and gives its channels what they need. */
export class ClientConnection {
  readonly #deps: SshDeps;
  readonly #client: Connection;
  readonly #socket: Socket;
  readonly #dismissibles = new Set<Dismissible>();
  readonly #log: SshLog;
  #entry: Entry | undefined;
  #link: SpriteLink | undefined;

  /** `onEntered` is called when it is authenticated, once. */
  constructor(
    { client, socket }: { client: Connection; socket: Socket },
    { deps, failures, onEntered }: { deps: SshDeps; failures: TokenFailures; onEntered: () => void },
  ) {
    this.#deps = deps;
    this.#client = client;
    this.#socket = socket;
    this.#log = deps.log;
    const address = socket.remoteAddress ?? '';
    // What a client did wrong is answered by the library; the socket's close tells of its end.
    client.on('error', () => {});
    const authenticator = new Authenticator(deps, address, failures);
    client.on('authentication', (context: AuthContext) => void this.#authenticate(authenticator, context));
    client.once('ready', onEntered);
    socket.once('close', () => this.#over());
  }

  /** Where it has entered, once it has. */
  get entry(): Entry | undefined {
    return this.#entry;
  }

  /** Says goodbye to everyone in it and closes. Never rejects. */
  async close(reason: string): Promise<void> {
    const deadline = setTimeout(() => this.#socket.destroy(), goodbyeMs);
    const closed = new Promise<void>((resolve) => {
      if (this.#socket.destroyed) resolve();
      else this.#socket.once('close', () => resolve());
    });
    const dismissibles = [...this.#dismissibles];
    await Promise.all(dismissibles.map((one) => one.dismiss(reason)));
    const end = setTimeout(() => this.#client.end(), dismissibles.length > 0 ? leaveMs : 0);
    await closed;
    clearTimeout(end);
    clearTimeout(deadline);
  }

  async #authenticate(authenticator: Authenticator, context: AuthContext): Promise<void> {
    try {
      const entry = await authenticator.answer(context);
      if (entry === 'exhausted') this.#client.end();
      else if (entry !== undefined) this.#enter(entry, context);
    } catch (error) {
      this.#log.warn({ err: error }, 'it cannot be told whether somebody may come in by SSH');
    }
  }

  #enter(entry: Entry, context: AuthContext): void {
    if (this.#socket.destroyed || this.#entry !== undefined) return;
    this.#entry = entry;
    const { org, sprite, credential } = entry;
    const link = new SpriteLink(this.#deps.service, { org, name: sprite.name, log: this.#log });
    this.#link = link;
    const parts: ConnectionParts = {
      deps: this.#deps,
      link,
      writer: new ConnectionWriter(this.#client, this.#socket, this.#deps.limits),
      inflow: new Inflow(this.#socket, () => {
        this.#log.warn(
          { org: org.slug, sprite: sprite.name },
          'a client sends more than there is room for; it is cut off',
        );
        this.#socket.destroy();
      }),
      log: this.#log,
      environment: connectionVariables(this.#socket),
      dismissibles: this.#dismissibles,
      channels: new ChannelCount(this.#deps.limits.maxChannels),
    };
    this.#serve(parts);
    this.#log.info({ org: org.slug, sprite: sprite.name, by: credential.kind, id: credential.id }, 'entered by SSH');
    context.accept();
  }

  #serve(parts: ConnectionParts): void {
    const { channels } = parts;
    const agent = new AgentForward(this.#client, parts);
    this.#client.on('session', (accept, reject) => {
      if (!channels.take()) {
        reject();
        return;
      }
      const session: SshSession = accept();
      session.once('close', () => channels.release());
      void new SessionChannel(session, parts, agent);
    });
    serveForwardsIn(this.#client, parts);
    void new RemoteForwards(this.#client, parts, this.#deps.limits);
  }

  #over(): void {
    this.#link?.[Symbol.dispose]();
  }
}

/** As sshd sets them; programs look at them to see that they are far from their person. */
function connectionVariables(socket: Socket): Record<string, string> {
  const from = `${socket.remoteAddress ?? '-'} ${socket.remotePort ?? 0}`;
  return {
    SSH_CLIENT: `${from} ${socket.localPort ?? 0}`,
    SSH_CONNECTION: `${from} ${socket.localAddress ?? '-'} ${socket.localPort ?? 0}`,
  };
}
