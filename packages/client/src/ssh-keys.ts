import type { SshKey, SshKeyList } from '@sylph/model';
import { segment, type Http } from './http.ts';
import { isObject } from './json.ts';
import { unexpected, type CallOptions } from './sprites.ts';

const base = '/v1/ssh-keys';

/** Keys whose owners may enter the organization's sprites by SSH. */
export class SshKeys {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /** By name, and how the SSH server shows itself; `server` is null where it is switched off. */
  async list(options: CallOptions = {}): Promise<SshKeyList> {
    const answer = await this.#http.json(base, options);
    if (!isObject(answer) || !Array.isArray(answer['keys'])) throw unexpected('a list of SSH keys');
    return answer as unknown as SshKeyList;
  }

  /** `publicKey`: the line of an `id_….pub`. Throws `ssh_key_taken` where the organization has it already. */
  async add(
    publicKey: string,
    { name, ...options }: CallOptions & { name?: string | undefined } = {},
  ): Promise<SshKey> {
    const body = { public_key: publicKey, ...(name === undefined ? {} : { name }) };
    const answer = await this.#http.json(base, { method: 'POST', body, ...options });
    if (!isObject(answer) || typeof answer['fingerprint'] !== 'string') throw unexpected('an SSH key');
    return answer as unknown as SshKey;
  }

  async remove(id: string, options: CallOptions = {}): Promise<void> {
    await this.#http.text(`${base}/${segment(id)}`, { method: 'DELETE', ...options });
  }
}
