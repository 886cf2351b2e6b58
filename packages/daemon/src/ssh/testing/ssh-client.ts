import { once } from 'node:events';
import { promisify } from 'node:util';
import ssh2, { type ClientChannel, type ConnectConfig, type ExecOptions, type SFTPWrapper } from 'ssh2';

/** A client in the manner of an app's: the library that many of them are made with. Dispose it. */
export class SshClient implements AsyncDisposable {
  readonly client: ssh2.Client;

  readonly #closed: Promise<unknown>;

  private constructor(client: ssh2.Client) {
    this.client = client;
    // Whatever goes wrong before it.
    this.#closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
  }

  /** Rejects when nobody is let in. */
  static async connect(config: ConnectConfig): Promise<SshClient> {
    const client = new ssh2.Client();
    client.connect(config);
    await once(client, 'ready');
    // What breaks later shows as its end.
    client.on('error', () => {});
    return new SshClient(client);
  }

  exec(command: string, options: ExecOptions = {}): Promise<ClientChannel> {
    return new Promise((resolve, reject) =>
      this.client.exec(command, options, (error, channel) => (error === undefined ? resolve(channel) : reject(error))),
    );
  }

  sftp(): Promise<SFTPWrapper> {
    return promisify(
      this.client.sftp.bind(this.client) as (done: (e?: Error, s?: SFTPWrapper) => void) => void,
    )() as Promise<SFTPWrapper>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.end();
    await this.#closed;
  }
}

/** What a channel says, and how it ends: its exit status, or signal. */
export function gather(channel: ClientChannel): {
  text: () => string;
  errors: () => string;
  exit: Promise<number | string | undefined>;
} {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  channel.on('data', (chunk: Buffer) => out.push(chunk));
  channel.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  let end: number | string | undefined;
  channel.once('exit', (code: number | null, signal?: string) => (end = code ?? signal));
  return {
    text: () => Buffer.concat(out).toString(),
    errors: () => Buffer.concat(err).toString(),
    exit: once(channel, 'close').then(() => end),
  };
}
