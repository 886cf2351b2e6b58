import { SylphError } from '@sylph/model';
import type { Entry } from './auth.ts';
import type { SshDeps } from './deps.ts';

/** A connection as far as the watch is concerned. */
interface Watched {
  readonly entry: Entry | undefined;
  close(reason: string): Promise<void>;
}

/** Ends connections whose key was removed, whose token is no longer valid, or whose sprite is gone, at most one look later. Dispose it. */
export class CredentialWatch implements Disposable {
  readonly #deps: SshDeps;
  readonly #connections: () => Iterable<Watched>;
  readonly #timer: NodeJS.Timeout;
  #looking = false;

  constructor(deps: SshDeps, connections: () => Iterable<Watched>) {
    this.#deps = deps;
    this.#connections = connections;
    this.#timer = setInterval(() => void this.#look(), deps.limits.checkIntervalMs).unref();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      const answers = new Map<string, Promise<string | undefined>>();
      for (const connection of this.#connections()) {
        const { entry } = connection;
        if (entry === undefined) continue;
        const key = `${entry.credential.kind} ${entry.credential.id} ${entry.sprite.id}`;
        const answer = answers.get(key) ?? this.#endOf(entry);
        answers.set(key, answer);
        const reason = await answer;
        if (reason === undefined) continue;
        this.#deps.log.info({ sprite: entry.sprite.name, reason }, 'an SSH connection is ended');
        void connection.close(reason);
      }
    } catch (error) {
      // Nothing is decided by it: the next look asks again.
      this.#deps.log.warn({ err: error }, 'it cannot be told whether SSH connections may go on');
    } finally {
      this.#looking = false;
    }
  }

  /** Why it has to end, if it has. */
  async #endOf({ org, sprite, credential }: Entry): Promise<string | undefined> {
    const { repository, service, isTokenValid } = this.#deps;
    if (credential.kind === 'token' && !(await isTokenValid(credential.id)))
      return 'the token was revoked or has expired';
    if (credential.kind === 'key' && !(await repository.sshKeys.sshKeys(org.id)).some(({ id }) => id === credential.id))
      return 'the key was removed';
    try {
      const view = await service.get(org, sprite.name);
      return view.row.id === sprite.id ? undefined : 'the sprite was deleted';
    } catch (error) {
      if (SylphError.from(error).code === 'sprite_not_found') return 'the sprite was deleted';
      throw error;
    }
  }
}
