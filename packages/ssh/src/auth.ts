import type { OrgRow, SpriteRow } from '@sylph/engine';
import { orgSlug, spriteName, SylphError } from '@sylph/model';
import type { AuthContext, KeyboardAuthContext, PublicKeyAuthContext } from 'ssh2';
import type { SshDeps } from './deps.ts';
import { fingerprintOf, parsed } from './public-key.ts';
import type { TokenFailures } from './token-failures.ts';

/** A key's last use is written at most this often. */
const touchIntervalMs = 60_000;

/** By what somebody was let in. */
export type Credential = { kind: 'key'; id: string } | { kind: 'token'; id: string };

/** Who is let in where. */
export interface Entry {
  org: OrgRow;
  sprite: SpriteRow;
  credential: Credential;
}

/** The user name of a connection: `NAME` or `NAME.ORG`. */
interface Wanted {
  name: string;
  slug: string | undefined;
}

/**
 * Decides who may enter which sprite. All that is wrong, key, token, sprite or organization, fails alike. One per connection, whose tries it counts.
 */
export class Authenticator {
  readonly #deps: SshDeps;
  readonly #address: string;
  readonly #failures: TokenFailures;
  #keyOffers = 0;
  #tokenTries = 0;

  constructor(deps: SshDeps, address: string, failures: TokenFailures) {
    this.#deps = deps;
    this.#address = address;
    this.#failures = failures;
  }

  /** Answers one attempt; the entry, when it succeeded. Too many attempts: `exhausted`. Rejects when it cannot be told; the attempt is refused then. */
  async answer(context: AuthContext): Promise<Entry | 'exhausted' | undefined> {
    try {
      const entry = await this.#decide(context);
      if (entry === undefined) context.reject(['publickey', 'keyboard-interactive', 'password']);
      else if (entry === 'offer') context.accept();
      else return entry;
      return this.#isExhausted() ? 'exhausted' : undefined;
    } catch (error) {
      context.reject();
      throw error;
    }
  }

  #isExhausted(): boolean {
    const { maxKeyOffers, maxTokenTries } = this.#deps.limits;
    return this.#keyOffers > maxKeyOffers || this.#tokenTries >= maxTokenTries;
  }

  async #decide(context: AuthContext): Promise<Entry | 'offer' | undefined> {
    const wanted = wantedBy(context.username);
    if (wanted === undefined) return undefined;
    switch (context.method) {
      case 'publickey':
        return this.#byKey(context, wanted);
      case 'password':
        return this.#byToken(context.password, wanted);
      case 'keyboard-interactive':
        return this.#byToken(await askForToken(context), wanted);
      default:
        return undefined;
    }
  }

  async #byKey(context: PublicKeyAuthContext, wanted: Wanted): Promise<Entry | 'offer' | undefined> {
    const { repository } = this.#deps;
    if (context.signature === undefined) this.#keyOffers += 1;
    // Signatures over SHA-1.
    if (context.key.algo === 'ssh-rsa') return undefined;
    const rows = await repository.sshKeys.sshKeysByFingerprint(fingerprintOf(context.key.data));
    // Keys are no secrets: another organization may have put this one among its own, to have its owner enter a sprite of theirs. With several NAME.ORG is asked for.
    if (wanted.slug === undefined && rows.length > 1) return undefined;
    const found: Entry[] = [];
    for (const row of rows) {
      const org = await repository.org(row.orgId);
      if (org === undefined || (wanted.slug !== undefined && org.slug !== wanted.slug)) continue;
      const sprite = await this.#sprite(org, wanted.name);
      if (sprite !== undefined) found.push({ org, sprite, credential: { kind: 'key', id: row.id } });
    }
    const [entry] = found;
    if (entry === undefined) return undefined;
    if (context.signature === undefined || context.blob === undefined) return 'offer';
    const { signature, blob, hashAlgo } = context;
    if (parsed(context.key.data)?.verify(blob, signature, hashAlgo) !== true) {
      this.#keyOffers += 1;
      return undefined;
    }
    await this.#touch(rows.find(({ id }) => id === entry.credential.id)?.lastUsedAt ?? null, entry.credential.id);
    return entry;
  }

  async #byToken(text: string | undefined, wanted: Wanted): Promise<Entry | undefined> {
    this.#tokenTries += 1;
    if (text === undefined || text === '' || this.#failures.tooMany(this.#address)) return undefined;
    const caller = await this.#deps.authenticateToken(text);
    const sprite =
      caller === undefined || (wanted.slug !== undefined && wanted.slug !== caller.org.slug)
        ? undefined
        : await this.#sprite(caller.org, wanted.name);
    if (caller === undefined || sprite === undefined) {
      this.#failures.add(this.#address);
      return undefined;
    }
    return { org: caller.org, sprite, credential: { kind: 'token', id: caller.tokenId } };
  }

  async #sprite(org: OrgRow, name: string): Promise<SpriteRow | undefined> {
    try {
      return (await this.#deps.service.get(org, name)).row;
    } catch (error) {
      if (SylphError.from(error).code === 'sprite_not_found') return undefined;
      throw error;
    }
  }

  async #touch(lastUsedAt: string | null, id: string): Promise<void> {
    const now = Date.now();
    if (lastUsedAt === null || Date.parse(lastUsedAt) <= now - touchIntervalMs)
      await this.#deps.repository.sshKeys.touchSshKey(id, new Date(now).toISOString());
  }
}

function wantedBy(username: string): Wanted | undefined {
  const [name = '', slug, ...more] = username.split('.');
  if (more.length > 0 || !spriteName.safeParse(name).success) return undefined;
  if (slug !== undefined && !orgSlug.safeParse(slug).success) return undefined;
  return { name, slug };
}

/** For clients that ask people line by line. */
function askForToken(context: KeyboardAuthContext): Promise<string | undefined> {
  return new Promise((resolve) => {
    // The client tries something else.
    context.once('abort', () => resolve(undefined));
    context.prompt([{ prompt: 'Sylph API token: ', echo: false }], (answers) =>
      resolve(Array.isArray(answers) ? answers[0] : undefined),
    );
  });
}
